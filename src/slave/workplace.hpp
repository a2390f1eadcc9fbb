// Workplace: the directories of a session, and the root that its paths cannot leave.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/directory.hpp"
#include "os/new_file.hpp"
#include "os/new_tree.hpp"

#include <memory>
#include <mutex>
#include <optional>

namespace remsh {

/// The base directory of a slave and the current directory of a session. If there is a root, all paths of its master
/// stay below it. Thread-safe. The current directory of the process does not change.
class Workplace {
 public:
  /// A path of the master's, in the form that the functions of `os` take. Keeps the directory open in which it begins.
  struct Place {
    std::shared_ptr<const Directory> directory;
    At at;
    Bytes path;
  };

  /// Makes missing directories. If there is a root, the base directory is in it: relative to it, or absolute; if empty,
  /// it is the root itself. Fails with EPERM if another user (except root) has created one of them, or a directory
  /// above them, in a place where every user can, such as /tmp.
  static Result<std::shared_ptr<Workplace>> open(const Bytes& basedir, const Bytes& root = {},
                                                 At::Reach reach = At::Reach::beneath);

  [[nodiscard]] const Directory& base() const noexcept { return *base_; }

  /// The session's directory. It stays valid for its holders when another one is set.
  [[nodiscard]] std::shared_ptr<const Directory> current() const;

  /// Sets the session's directory; nullopt: back to the base directory; empty: no change. Returns its absolute path.
  Result<Bytes> set_current(const std::optional<Bytes>& path);

  /// A path, relative to the session's directory. If there is a root, an absolute path must begin with it, as it was
  /// opened. Whether the rest leads out is checked when the path is used.
  [[nodiscard]] Result<Place> place(const Bytes& path) const { return place_from(current(), path); }

  /// A path, relative to a directory that open_directory() or current() has returned.
  [[nodiscard]] Result<Place> place_in(const std::shared_ptr<const Directory>& directory, const Bytes& path) const {
    return place_from(directory, path);
  }

  /// A path, relative to the base directory.
  [[nodiscard]] Result<Place> place_in_base(const Bytes& path) const { return place_from(base_, path); }

  /// Creates a file at a place. If this process is killed, remove_abandoned_parts() of the next one removes what is
  /// left.
  [[nodiscard]] Result<NewFile> create_file(const Place& place, bool overwrite) const {
    return NewFile::create(place.at, place.path, {.overwrite = overwrite, .home = base_->descriptor()});
  }

  /// The same for a tree.
  [[nodiscard]] Result<NewTree> create_tree(const Place& place, bool overwrite) const {
    return NewTree::create(place.at, place.path, {.overwrite = overwrite, .home = base_->descriptor()});
  }

  /// True if there may be work for remove_abandoned_parts(). Looks into the base directory only.
  [[nodiscard]] bool may_have_abandoned_parts() const noexcept { return has_part_records(base_->descriptor()); }

  /// Removes unfinished files and trees that killed processes have left for this base directory, but none that a
  /// running process writes, this one included. May block for ever: the files may be on any disk.
  void remove_abandoned_parts() const;

  /// Opens a directory, relative to the session's, that is used by its path alone. If there is a root, its path is
  /// below that.
  [[nodiscard]] Result<Directory> find_directory(const Bytes& path) const;

  /// Opens a directory, relative to the session's.
  [[nodiscard]] Result<Directory> open_directory(const Bytes& path) const;

 private:
  Workplace(std::shared_ptr<const Directory> root, At::Reach reach, std::shared_ptr<const Directory> base)
      : root_(std::move(root)), reach_(reach), base_(base), current_(std::move(base)) {}
  [[nodiscard]] Result<Place> place_from(const std::shared_ptr<const Directory>& from, const Bytes& path) const;

  const std::shared_ptr<const Directory> root_;  // null if there is none
  const At::Reach reach_;
  const std::shared_ptr<const Directory> base_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Directory> current_;
};

}  // namespace remsh
