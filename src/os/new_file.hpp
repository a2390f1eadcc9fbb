// NewFile: a file that appears under its name only when it is complete.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/part_files.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <cstdint>

namespace remsh {

/// A file being written that has no name yet, or a temporary one in the directory of its final one. Dropped
/// uncommitted, nothing of it remains. One thread at a time.
///
/// Nobody sees a part of it under its name, also when this process or the machine is killed. If the system has files
/// without a name (O_TMPFILE), then nothing remains of one whose process is killed, but for the moment in which it
/// replaces another file. Else a temporary name remains, and a record of it: a PartRecord, by which it is removed.
class NewFile {
 public:
  /// Where and how.
  struct Options {
    bool overwrite = false;
    /// An open directory that outlives the file, for records of temporary names; -1: the directory that it is made in.
    /// There, what killed processes have left is removed first.
    int home = -1;
    bool always_named = false;  ///< as on a system that has no files without a name
  };

  /// Refuses an existing destination with EEXIST unless `overwrite`, a directory there always (then EISDIR); this is
  /// looked at now, to fail early, and again by commit(), which nothing can slip past. With `overwrite` a symbolic link
  /// is itself replaced, not what it leads to.
  static Result<NewFile> create(At at, const Bytes& path, Options options);
  static Result<NewFile> create(At at, const Bytes& path, bool overwrite) {
    return create(at, path, Options{.overwrite = overwrite});
  }

  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&& other) noexcept;
  ~NewFile();

  Result<void> write(BytesView bytes);

  /// Gives it its permissions and its name, without ever replacing what must not be replaced. To be called once.
  ///
  /// `durable`: its content is on the disk before it gets its name, and its name before this returns, which takes as
  /// long as the disk does. If only the last step fails, the file has its name already.
  Result<void> commit(mode_t mode, bool durable = false);

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// Where write() writes, for who fills the file by other means; such bytes are not in size().
  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }

 private:
  NewFile(UniqueFd directory, Bytes name, Options options);
  Result<void> open_named();
  Result<void> copy_to_named();
  [[nodiscard]] PartRecord record_part() const;
  [[nodiscard]] int link(const Bytes& name) const;
  Result<void> link_to_part();
  void drop() noexcept;

  UniqueFd directory_;
  UniqueFd file_;
  Bytes name_;
  Options options_;
  PartRecord part_;  // of the temporary name
  std::uint64_t size_ = 0;
};

}  // namespace remsh
