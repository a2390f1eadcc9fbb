// File system calls with errors as values; NewFile: a file that appears only when it is complete.
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

/// A file being written under a temporary name in the directory of its final one. Dropped uncommitted, nothing of it
/// remains. One thread at a time.
///
/// Nobody sees a part of it under its name, also when this process or the machine is killed; but a machine that loses
/// its power soon after commit() may have lost the file with it: nothing is forced to the disk.
class NewFile {
 public:
  /// Refuses an existing destination with EEXIST unless `overwrite`, a directory there always (then EISDIR); this is
  /// looked at now, to fail early, and again by commit(), which nothing can slip past. With `overwrite` a symbolic link
  /// is itself replaced, not what it leads to.
  static Result<NewFile> create(At at, const Bytes& path, bool overwrite);

  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&& other) noexcept;
  ~NewFile();

  Result<void> write(BytesView bytes);

  /// Gives it its permissions and its name, without ever replacing what must not be replaced. To be called once.
  Result<void> commit(mode_t mode);

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// Where write() writes, for who fills the file by other means; such bytes are not in size().
  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }

 private:
  NewFile(UniqueFd directory, UniqueFd file, Bytes temporary, Bytes name, bool overwrite);
  void drop() noexcept;
  UniqueFd directory_;
  UniqueFd file_;
  Bytes temporary_;  // empty: committed or moved from
  Bytes name_;
  bool overwrite_ = false;
  std::uint64_t size_ = 0;
};

/// Renames without replacing (EEXIST), unless told to; a failure leaves both names as they were. Two names of the same
/// file both stay when one is renamed over the other, as POSIX wants it.
///
/// Where the file system can neither rename without replacing nor link (for a directory: the former), a destination
/// that somebody else makes in the very moment is replaced, where the system allows it.
Result<void> rename_path(At at_from, const Bytes& from, At at_to, const Bytes& to, bool overwrite);

}  // namespace remsh
