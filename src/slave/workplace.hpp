// Workplace: where a session's relative paths begin, and beyond what no path leads.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/directory.hpp"
#include "os/new_file.hpp"

#include <memory>
#include <mutex>
#include <optional>

namespace remsh {

/// The base directory of a slave and the current one of a session; with a root, all paths of its master stay beneath
/// that. Thread-safe; the process's own never changes.
class Workplace {
 public:
  /// A path of the master's, as the functions of `os` take it; keeps open what it begins in.
  struct Place {
    std::shared_ptr<const Directory> directory;
    At at;
    Bytes path;
  };

  /// Makes the directories where they are missing. With a root the base directory is beneath it: relative to it, or
  /// absolute; empty: the root itself. Fails with EPERM if another user (not root) has made one of them, or a directory
  /// above, where every user can, as in /tmp.
  static Result<std::shared_ptr<Workplace>> open(const Bytes& basedir, const Bytes& root = {},
                                                 At::Reach reach = At::Reach::beneath);

  [[nodiscard]] const Directory& base() const noexcept { return *base_; }

  /// The session's directory; stays valid for who holds it when another one is set.
  [[nodiscard]] std::shared_ptr<const Directory> current() const;

  /// Nothing: back to the base directory; empty: no change. Gives the absolute path.
  Result<Bytes> set_current(const std::optional<Bytes>& path);

  /// A path, relative to the session's directory. With a root an absolute one has to begin with it, as it was opened;
  /// whether what follows leads out is seen where it is used.
  [[nodiscard]] Result<Place> place(const Bytes& path) const { return place_from(current(), path); }

  /// A path, relative to the base directory.
  [[nodiscard]] Result<Place> place_in_base(const Bytes& path) const { return place_from(base_, path); }

  /// Begins a file at a place. If this process is killed, remove_abandoned_parts() of the next one removes what is
  /// left.
  [[nodiscard]] Result<NewFile> create_file(const Place& place, bool overwrite) const {
    return NewFile::create(place.at, place.path, {.overwrite = overwrite, .home = base_->descriptor()});
  }

  /// True if there may be something for remove_abandoned_parts() to do. Looks into the base directory only.
  [[nodiscard]] bool may_have_abandoned_parts() const noexcept { return has_part_records(base_->descriptor()); }

  /// Removes what killed processes have left of files that they wrote for this base directory, and nothing that a
  /// living one writes, this one included. May block for ever: the files may be on any disk.
  void remove_abandoned_parts() const;

  /// A directory, relative to the session's, that is used by its path alone; with a root, its path is beneath that.
  [[nodiscard]] Result<Directory> find_directory(const Bytes& path) const;

  /// A directory, relative to the session's.
  [[nodiscard]] Result<Directory> open_directory(const Bytes& path) const;

 private:
  Workplace(std::shared_ptr<const Directory> root, At::Reach reach, std::shared_ptr<const Directory> base)
      : root_(std::move(root)), reach_(reach), base_(base), current_(std::move(base)) {}
  [[nodiscard]] Result<Place> place_from(const std::shared_ptr<const Directory>& from, const Bytes& path) const;

  const std::shared_ptr<const Directory> root_;  // null: none
  const At::Reach reach_;
  const std::shared_ptr<const Directory> base_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Directory> current_;
};

}  // namespace remsh
