// NewTree: a directory tree that appears under its name only when it is complete.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/part_files.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <cstddef>
#include <ctime>
#include <vector>

namespace remsh {

/// A tree being written, under a temporary name in the directory of its final one. If it is destroyed without a commit,
/// nothing of it remains; if its process is killed, its record (PartRecord) serves to remove it later. One thread at a
/// time.
///
/// It is filled from the top down. Each name is a single one in a directory that is held open and that this object has
/// made, and nothing that exists is ever opened or replaced: a name that is there already is EEXIST. So no name and no
/// symbolic link leads elsewhere.
class NewTree {
 public:
  struct Options {
    bool overwrite = false;
    /// An open directory that outlives the tree, for the record of the temporary name. -1: the directory of the tree
    /// itself, where the remains of killed processes are removed first.
    int home = -1;
  };

  /// Refuses an existing destination with EEXIST unless `overwrite`, and always with ENOTDIR if it is no directory.
  /// This is checked here, to fail early, and again by commit().
  static Result<NewTree> create(At at, const Bytes& path, Options options);

  NewTree(NewTree&& other) noexcept = default;
  NewTree& operator=(NewTree&& other) = delete;
  ~NewTree() { drop(); }

  // Names must be components of a path. Files must be closed before anything else is made.

  /// Makes a directory and goes into it.
  Result<void> enter(const Bytes& name);

  /// Goes up, or ends the top. The directory gets its mode and its time.
  Result<void> leave(mode_t mode, const timespec& mtime);

  Result<void> open_file(const Bytes& name);
  Result<void> write(BytesView bytes);
  Result<void> close_file(mode_t mode, const timespec& mtime);

  /// Removes the open file.
  Result<void> drop_file();

  Result<void> make_link(const Bytes& name, const Bytes& target, const timespec& mtime);

  /// Gives the tree its name in one step, after leave() of the top. With `overwrite` an existing directory is exchanged
  /// for it and then removed; if only its removal fails, the new tree has its name already. Call it once.
  ///
  /// `durable`: the file system is on the disk before the tree gets its name, and the name before this returns.
  Result<void> commit(bool durable);

 private:
  NewTree(UniqueFd directory, Bytes name, Options options)
      : directory_(std::move(directory)), name_(std::move(name)), options_(options) {}
  Result<void> make_top();
  Result<bool> give_name();
  [[nodiscard]] int here() const noexcept { return levels_.empty() ? top_.get() : levels_.back().get(); }
  void drop() noexcept;

  UniqueFd directory_;
  Bytes name_;
  Options options_;
  PartRecord part_;
  UniqueFd top_;
  std::vector<UniqueFd> levels_;  // below the top
  UniqueFd file_;
  Bytes file_name_;
};

}  // namespace remsh
