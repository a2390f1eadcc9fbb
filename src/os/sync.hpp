// Forcing files and directories to the disk, so that they survive a loss of power.
#pragma once

#include "base/result.hpp"

namespace remsh {

/// Forces what was written to a file, and its permissions, to the disk. May block for as long as the disk does.
/// Succeeds on file systems that have no such operation (EINVAL, ENOTSUP); any other failure, EIO for one, is reported:
/// then nobody knows what is on the disk.
Result<void> sync_file(int descriptor);

/// The same for the names in a directory. The descriptor may be one that only serves to resolve paths; a directory that
/// may not be read is forced out by way of its whole file system.
Result<void> sync_directory(int directory);

}  // namespace remsh
