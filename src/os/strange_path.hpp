// Finding out whether somebody else may have put a directory there.
#pragma once

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <optional>

namespace remsh {

/// A part of a path that is neither ours nor root's, in a directory where every user can make entries.
struct StrangePart {
  Bytes path;
  uid_t owner;
};

/// Looks for one in an absolute path, or in one relative to the current directory; symbolic links count as entries
/// themselves. nullopt: there is none, as far as the path exists.
std::optional<StrangePart> find_strange_part(const Bytes& path);

}  // namespace remsh
