// Renaming, with or without replacing what is at the destination.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh {

/// Renames a name in one open directory to a name in another. Gives an errno value, 0 for success.
int rename_at(int at_from, const char* from, int at_to, const char* to, bool overwrite);

/// Renames without replacing (EEXIST), unless told to; a failure leaves both names as they were. Two names of the same
/// file both stay when one is renamed over the other, as POSIX wants it. `durable`: the new name is forced to the disk;
/// if only that fails, both directories have changed already.
///
/// Where the file system can neither rename without replacing nor link (for a directory: the former), a destination
/// that somebody else makes in the very moment is replaced, where the system allows it.
Result<void> rename_path(At at_from, const Bytes& from, At at_to, const Bytes& to, bool overwrite,
                         bool durable = false);

}  // namespace remsh
