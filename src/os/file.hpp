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

/// A failure of the operating system, with its sentence: "open: No such file or directory".
Failure os_failure(int error, BytesView what = {});

/// The same of something that was done to a path there: where that leads out of where it must stay (EXDEV) it is EPERM,
/// with a sentence about it.
Failure path_failure(At at, int error, BytesView what);

/// Refuses (EINVAL) what the system would cut short: a path with a zero byte in it.
Result<void> check_path(const Bytes& path, BytesView what = {});

/// The last component of a path, and the directory that holds it, held open: what is done to the name there is not
/// misled when somebody moves a directory above it.
struct OpenParent {
  UniqueFd directory;  ///< to resolve against; not for reading it
  Bytes name;          ///< without a slash; empty for the root, "." and ".." as they are
  bool slash = false;  ///< one or more followed it, so it can only be a directory
};
Result<OpenParent> open_parent(At at, const Bytes& path, BytesView what = {});

/// A regular file opened for reading, and what it is.
struct OpenFile {
  UniqueFd fd;
  std::uint64_t size = 0;
  mode_t mode = 0;  ///< permission bits
};

/// Opens a regular file for reading; a directory is EISDIR, a fifo or device is refused without blocking on it.
Result<OpenFile> open_file(At at, const Bytes& path);

/// Reads up to the size of the buffer; 0 at the end.
Result<std::size_t> read_file(int descriptor, std::span<char> buffer);

}  // namespace remsh
