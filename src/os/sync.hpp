// Forcing files and directories to the disk, so that they survive a loss of power.
#pragma once

#include "base/result.hpp"

namespace remsh {

/// Forces what was written to a file, and its permissions, to the disk. May block for as long as the disk does.
/// Succeeds on file systems that have no such operation (EINVAL, ENOTSUP). After any other failure, such as EIO, the
/// content of the disk is unknown.
Result<void> sync_file(int descriptor);

/// The same for the names in a directory. The descriptor may be one that can only resolve paths. For a directory that
/// may not be read, the whole file system is forced to the disk.
Result<void> sync_directory(int directory);

/// The same for everything on the file system of an open file or directory, which must not be open for its path alone.
Result<void> sync_file_system(int descriptor);

}  // namespace remsh
