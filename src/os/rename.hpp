// Renaming, with or without replacing what is at the destination.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh {

/// Renames a name in one open directory to a name in another. Returns 0 or an errno value.
int rename_at(int at_from, const char* from, int at_to, const char* to, bool overwrite);

/// Exchanges two names in one step. Returns 0 or an errno value: ENOSYS, EINVAL or EOPNOTSUPP if the system or the file
/// system cannot do that.
int exchange_at(int at_one, const char* one, int at_other, const char* other);

/// Renames without replacing (EEXIST), unless `overwrite`; a failure leaves both names as they were. If both names are
/// of the same file, both stay, as POSIX requires. `durable`: the new name is forced to the disk; if only that fails,
/// both directories have changed already.
///
/// If the file system can neither rename without replacing nor link (for a directory: the former), a destination that
/// is created by others in that very moment is replaced, if the system allows it.
Result<void> rename_path(At at_from, const Bytes& from, At at_to, const Bytes& to, bool overwrite,
                         bool durable = false);

}  // namespace remsh
