// File system calls with errors as values.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace remsh {

/// A failure of the operating system, with a message such as "open: No such file or directory".
Failure os_failure(int error, BytesView what = {});

/// The same for an operation on a path. If the path leads out of the directory that it must stay in (EXDEV), the
/// failure is EPERM, and the message says so.
Failure path_failure(At at, int error, BytesView what);

/// Refuses (EINVAL) a path with a zero byte, where the system would cut it.
Result<void> check_path(const Bytes& path, BytesView what = {});

/// The last component of a path, and its directory, held open: an operation on the name in it is not misled if a
/// directory above it is moved.
struct OpenParent {
  UniqueFd directory;  ///< for resolving names; cannot be read
  Bytes name;          ///< without a slash; empty for the root; "." and ".." as they are
  bool slash = false;  ///< slashes followed the name, so it can only be a directory
};
Result<OpenParent> open_parent(At at, const Bytes& path, BytesView what = {});

/// A regular file opened for reading, and its properties.
struct OpenFile {
  UniqueFd fd;
  std::uint64_t size = 0;
  mode_t mode = 0;  ///< permission bits
};

/// Opens a regular file for reading. A directory is EISDIR. A fifo or device is refused without blocking on it.
Result<OpenFile> open_file(At at, const Bytes& path);

/// Writes all bytes.
Result<void> write_file(int descriptor, BytesView bytes);

/// Reads up to the size of the buffer; 0 at the end.
Result<std::size_t> read_file(int descriptor, std::span<char> buffer);

}  // namespace remsh
