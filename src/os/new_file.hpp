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

/// A file being written that has no name yet, or a temporary one in the directory of its final one. If it is destroyed
/// without a commit, nothing of it remains. One thread at a time.
///
/// An incomplete file never appears under its name, even if this process is killed or the machine fails. If the system
/// has files without a name (O_TMPFILE), nothing remains of a file whose process is killed, except in the moment in
/// which it replaces another file. Otherwise the file remains under its temporary name, with a record (PartRecord) by
/// which it is removed later.
class NewFile {
 public:
  /// Where and how.
  struct Options {
    bool overwrite = false;
    /// An open directory that outlives the file, for records of temporary names. -1: the directory of the file itself,
    /// where the remains of killed processes are removed first.
    int home = -1;
    bool always_named = false;  ///< as on a system that has no files without a name
  };

  /// Refuses an existing destination with EEXIST unless `overwrite`, and always if it is a directory (with EISDIR if
  /// `overwrite`). This is checked here, to fail early, and again by commit(), without a race. With `overwrite` a
  /// symbolic link itself is replaced, not its target.
  static Result<NewFile> create(At at, const Bytes& path, Options options);
  static Result<NewFile> create(At at, const Bytes& path, bool overwrite) {
    return create(at, path, Options{.overwrite = overwrite});
  }

  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&& other) noexcept;
  ~NewFile();

  Result<void> write(BytesView bytes);

  /// Gives the file its permissions and its name, and never replaces what must not be replaced. Call it once.
  ///
  /// `durable`: the content is on the disk before the file gets its name, and the name before this returns, which takes
  /// as long as the disk does. If only the last step fails, the file has its name already.
  Result<void> commit(mode_t mode, bool durable = false);

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// The descriptor of the file, for other ways to fill it; size() does not count such bytes.
  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }

 private:
  NewFile(UniqueFd directory, Bytes name, Options options);
  Result<void> open_named();
  Result<void> copy_to_named();
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
