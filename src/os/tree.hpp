// Whole trees of directories: making the way to one, removing one.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <functional>
#include <optional>

namespace remsh {

/// Makes a directory and the parents that are missing. One that is there already is fine, whoever made it; what is
/// there and is no directory is EEXIST, or ENOTDIR above the last. Parents get mode 0777 less umask; so does the last,
/// or exactly `mode` where that is given and it was made here. `durable`: those that were made are on the disk before
/// this returns.
Result<void> make_directories(At at, const Bytes& path, std::optional<mode_t> mode = std::nullopt,
                              bool durable = false);

/// Removes what is at a path, with all below it, and never follows a symbolic link. What is missing, or goes missing
/// meanwhile, is fine.
///
/// Directories in it that deny us their entries, and are ours, get permissions that do not; the one that holds the path
/// is left as it is. Depth costs memory, not stack or descriptors. It stops at the first failure, whose message names
/// what stood in the way, and as soon as `cancelled` says so. "", "/", "." and ".." are refused (EINVAL).
Result<void> remove_tree(At at, const Bytes& path, const std::function<bool()>& cancelled = {});

}  // namespace remsh
