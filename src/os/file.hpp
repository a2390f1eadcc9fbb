// File system calls with errors as values; NewFile: a file that appears only when it is complete.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace remsh {

/// A failure of the operating system, with its sentence: "open: No such file or directory".
Failure os_failure(int error, BytesView what = {});

/// A regular file opened for reading, and what it is.
struct OpenFile {
  UniqueFd fd;
  std::uint64_t size = 0;
  mode_t mode = 0;  ///< permission bits
};

/// Opens a regular file for reading; a directory is EISDIR, a fifo or device is refused without blocking on it.
Result<OpenFile> open_file(int at, const Bytes& path);

/// Reads up to the size of the buffer; 0 at the end.
Result<std::size_t> read_file(int descriptor, std::span<char> buffer);

/// A file being written under a temporary name in the directory of its final one. Dropped uncommitted, nothing of it
/// remains.
class NewFile {
 public:
  /// Refuses an existing destination with EEXIST unless `overwrite`, a directory there always (EISDIR); this is looked
  /// at now, to fail early, and again by commit(), which nothing can slip past.
  static Result<NewFile> create(int at, const Bytes& path, bool overwrite);

  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&& other) noexcept;
  ~NewFile();

  Result<void> write(BytesView bytes);

  /// Gives it its permissions and its name, without ever replacing what must not be replaced.
  Result<void> commit(mode_t mode);

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  NewFile(UniqueFd directory, UniqueFd file, Bytes temporary, Bytes name, bool overwrite);
  UniqueFd directory_;
  UniqueFd file_;
  Bytes temporary_;  // empty: committed or moved from
  Bytes name_;
  bool overwrite_ = false;
  std::uint64_t size_ = 0;
};

/// Renames without replacing, unless told to; a failure leaves both names as they were.
Result<void> rename_path(int at_from, const Bytes& from, int at_to, const Bytes& to, bool overwrite);

}  // namespace remsh
