// Whole directory trees: creating the directories of a path, removing a tree.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <functional>
#include <optional>

namespace remsh {

/// Creates a directory and its missing parents. An existing directory is fine, whoever has made it. Anything else at
/// the path is EEXIST, or ENOTDIR above the last component. Parents get mode 0777 less umask. So does the last one, or
/// exactly `mode` if that is given and the directory was created here. `durable`: the new directories are on the disk
/// before this returns.
Result<void> make_directories(At at, const Bytes& path, std::optional<mode_t> mode = std::nullopt,
                              bool durable = false);

/// Removes what is at a path, with everything below it, and never follows a symbolic link. Entries that are missing, or
/// disappear meanwhile, are fine.
///
/// Directories in it that are ours but deny us access get all permissions for us; the one that holds the path is not
/// changed. Depth costs memory, not stack or descriptors. It stops at the first failure, whose message names the entry
/// that failed, and as soon as `cancelled` returns true. "", "/", "." and ".." are refused (EINVAL).
Result<void> remove_tree(At at, const Bytes& path, const std::function<bool()>& cancelled = {});

}  // namespace remsh
