// Finds directories that another user may have planted.
#pragma once

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <optional>

namespace remsh {

/// A part of a path that belongs neither to us nor to root, in a directory where every user can create entries.
struct StrangePart {
  Bytes path;
  uid_t owner;
};

/// Looks for such a part in an absolute path, or in one relative to the current directory; symbolic links count as
/// entries themselves. nullopt if there is none, as far as the path exists.
std::optional<StrangePart> find_strange_part(const Bytes& path);

}  // namespace remsh
