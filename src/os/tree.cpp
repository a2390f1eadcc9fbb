// Whole directory trees: creating the directories of a path, removing a tree.
#include "os/tree.hpp"

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/sync.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

namespace {

constexpr int open_to_list = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

struct DirCloser {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

bool is_directory(At at, const Bytes& path) {
  struct stat what {};
  return stat_at(at, path, what, true) == 0 && S_ISDIR(what.st_mode);
}

/// The removal of one tree. One thread at a time.
///
/// It descends with a stack of levels of which only the lowest few are open. On the way up a closed level is opened
/// again as "..", and must be the same directory. It is then listed again, which costs little: what was listed before
/// is removed. So every name is resolved by itself in an open directory, and neither a moved directory nor a planted
/// link leads elsewhere.
class Removal {
 public:
  Removal(int parent, Bytes name, const std::function<bool()>& cancelled)
      : parent_(parent), name_(std::move(name)), cancelled_(cancelled) {}

  Result<void> run() {
    if (!remove_entry(name_.c_str(), DT_UNKNOWN)) return std::move(failure_);
    while (!levels_.empty()) {
      if (cancelled_ && cancelled_()) return Failure{Errc::cancelled, "cancelled", 0};
      if (!step()) return std::move(failure_);
    }
    return {};
  }

 private:
  struct Level {
    Bytes name;
    Dir dir;  // null: closed, to save descriptors
    dev_t device = 0;
    ino_t inode = 0;
    bool progress = false;  // something in it was removed since the listing began
  };

  static constexpr std::size_t max_open = 16;
  static constexpr std::size_t max_shown_path = 1000;

  // Handles the next entry of the lowest level, or goes up. False if it failed.
  bool step() {
    Level& level = levels_.back();
    errno = 0;
    const dirent* entry = ::readdir(level.dir.get());
    if (entry == nullptr) return errno == 0 || errno == ENOENT ? leave() : fail(errno, nullptr);
    const BytesView name = entry->d_name;
    if (name == "." || name == "..") return true;
    return remove_entry(entry->d_name, entry->d_type);
  }

  // Removes an entry that is not a directory, and descends into one that is.
  bool remove_entry(const char* name, unsigned char type) {
    if (type != DT_DIR) {
      if (unlink(name, 0)) return true;
      // Systems report a directory with one of these two; EPERM has other meanings, too.
      if (errno != EISDIR && errno != EPERM) return fail(errno, name);
    }
    const int error = errno;
    if (enter(name)) return true;
    if (errno == ENOENT) return true;
    if (errno != ENOTDIR && errno != ELOOP && errno != EMLINK) return fail(errno, name);
    // Not a directory after all. If the listing said that it was, another process has replaced it.
    if (type != DT_DIR) return fail(error, name);
    return unlink(name, 0) || fail(errno, name);
  }

  // Descends. If it is false, errno says why.
  bool enter(const char* name) {
    UniqueFd fd(::openat(here(), name, open_to_list));
    if (!fd && errno == EACCES && (unlock_here() || unlock(name))) fd.reset(::openat(here(), name, open_to_list));
    // Both directories may lack rights: first the one above, and now this one.
    if (!fd && errno == EACCES && unlock(name)) fd.reset(::openat(here(), name, open_to_list));
    if (!fd) return false;
    Level level;
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return false;
    level.name = name;
    level.device = status.st_dev;
    level.inode = status.st_ino;
    level.dir.reset(::fdopendir(fd.get()));
    if (!level.dir) return false;
    static_cast<void>(fd.release());
    levels_.push_back(std::move(level));
    if (levels_.size() > max_open) levels_[levels_.size() - 1 - max_open].dir.reset();
    return true;
  }

  // The lowest level has been listed to its end: removes it and goes up.
  bool leave() {
    const std::size_t depth = levels_.size();
    if (depth > 1 && !levels_[depth - 2].dir && !reopen(levels_[depth - 2])) return fail(errno, nullptr);
    Level level = std::move(levels_.back());
    levels_.pop_back();
    if (unlink(level.name.c_str(), AT_REMOVEDIR)) return true;
    const int error = errno;
    levels_.push_back(std::move(level));
    // Entries were added while we listed it, or the file system lost its place because others were removed. Listing
    // again comes to an end, as it needs progress since the last time.
    if ((error == ENOTEMPTY || error == EEXIST) && std::exchange(levels_.back().progress, false)) {
      ::rewinddir(levels_.back().dir.get());
      return true;
    }
    return fail(error, nullptr);
  }

  // Opens the level above the lowest one again. If it is false, errno says why.
  bool reopen(Level& above) {
    UniqueFd fd(::openat(here(), "..", open_to_list));
    if (!fd && errno == EACCES && unlock_here()) fd.reset(::openat(here(), "..", open_to_list));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) return false;
    if (status.st_dev != above.device || status.st_ino != above.inode) return errno = ESTALE, false;  // it was moved
    above.dir.reset(::fdopendir(fd.get()));
    if (!above.dir) return false;
    static_cast<void>(fd.release());
    return true;
  }

  // Removes one name in the lowest level; a missing one is fine. If it is false, errno says why.
  bool unlink(const char* name, int flags) {
    bool gone = ::unlinkat(here(), name, flags) == 0 || errno == ENOENT;
    if (!gone && errno == EACCES && unlock_here()) gone = ::unlinkat(here(), name, flags) == 0 || errno == ENOENT;
    if (gone && !levels_.empty()) levels_.back().progress = true;
    return gone;
  }

  // Gives us all rights in the lowest level, if it is in the tree, is ours, and lacks some. Otherwise keeps errno.
  bool unlock_here() {
    if (levels_.empty()) return false;
    const int error = errno;
    struct stat status {};
    if (::fstat(here(), &status) == 0 && lacks_rights(status) &&
        ::fchmod(here(), (status.st_mode & 07777) | S_IRWXU) == 0) {
      return true;
    }
    return errno = error, false;
  }

  // The same for a directory in it.
  bool unlock(const char* name) {
    const int error = errno;
    struct stat status {};
    if (::fstatat(here(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode) && lacks_rights(status) &&
        ::fchmodat(here(), name, (status.st_mode & 07777) | S_IRWXU, AT_SYMLINK_NOFOLLOW) == 0) {
      return true;
    }
    return errno = error, false;
  }

  static bool lacks_rights(const struct stat& status) {
    return status.st_uid == ::geteuid() && (status.st_mode & S_IRWXU) != S_IRWXU;
  }

  [[nodiscard]] int here() const { return levels_.empty() ? parent_ : ::dirfd(levels_.back().dir.get()); }

  // Always false. The message names the entry that failed, relative to the directory that holds the tree.
  bool fail(int error, const char* name) {
    Bytes path;
    for (const Level& level : levels_) path.append(path.empty() ? "" : "/").append(level.name);
    if (name != nullptr) path.append(path.empty() ? "" : "/").append(name);
    if (path.size() > max_shown_path) path = Bytes("...").append(path, path.size() - max_shown_path);
    failure_ = os_failure(error, "remove " + in_quotes(path));
    return false;
  }

  const int parent_;
  const Bytes name_;
  const std::function<bool()>& cancelled_;
  std::vector<Level> levels_;
  Failure failure_;
};

}  // namespace

namespace {

constexpr BytesView mkdir_what = "mkdir";
constexpr mode_t all_rights = 0777;

/// Creates the missing parents, and adds them to `made`.
Result<void> make_parents(At at, const Bytes& path, std::vector<Bytes>& made) {
  for (std::size_t slash = path.find('/', 1); slash != Bytes::npos; slash = path.find('/', slash + 1)) {
    Bytes parent = path.substr(0, slash);
    const int refused = mkdir_at(at, parent, all_rights);
    if (refused != 0 && refused != EEXIST && !is_directory(at, parent)) return path_failure(at, refused, mkdir_what);
    if (refused == 0) made.push_back(std::move(parent));
  }
  return {};
}

/// Sets the mode of a new directory, as the umask has removed some of it.
Result<void> change_mode(At at, const Bytes& path, mode_t mode) {
  if (at.is_confined()) {
    const UniqueFd made = open_at(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!made || ::fchmod(made.get(), mode & 07777) != 0) return path_failure(at, errno, "chmod");
  } else if (::fchmodat(at.descriptor, path.c_str(), mode & 07777, 0) != 0) {
    return os_failure(errno, "chmod");
  }
  return {};
}

/// Forces the names of directories to the disk.
Result<void> sync_names(At at, const std::vector<Bytes>& paths) {
  for (const Bytes& path : paths) {
    const UniqueFd parent = open_at(at, SplitPath(path).directory, open_to_resolve);
    if (!parent) return path_failure(at, errno, mkdir_what);
    if (auto synced = sync_directory(parent.get()); !synced) return synced;
  }
  return {};
}

}  // namespace

Result<void> make_directories(At at, const Bytes& path, std::optional<mode_t> mode, bool durable) {
  if (auto checked = check_path(path, mkdir_what); !checked) return checked;
  Bytes last = path;
  while (last.size() > 1 && last.back() == '/') last.pop_back();

  // A confined directory will be opened to set its mode.
  const mode_t first_mode = at.is_confined() && mode ? *mode | S_IRWXU : mode.value_or(all_rights);
  std::vector<Bytes> made;
  int error = mkdir_at(at, last, first_mode);  // usually no parent is missing
  if (error == ENOENT) {
    if (auto parents = make_parents(at, last, made); !parents) return parents;
    error = mkdir_at(at, last, first_mode);
  }
  if (error == 0) made.push_back(last);
  if (error != 0 && !(error == EEXIST && is_directory(at, last))) return path_failure(at, error, mkdir_what);
  if (error == 0 && mode) {
    if (auto changed = change_mode(at, last, *mode); !changed) return changed;
  }
  return durable ? sync_names(at, made) : Result<void>();
}

Result<void> remove_tree(At at, const Bytes& path, const std::function<bool()>& cancelled) {
  constexpr BytesView what = "remove";
  if (path.empty()) return os_failure(EINVAL, what);
  auto parent = open_parent(at, path, what);
  if (!parent) {
    const int error = parent.failure().os;
    if (error == ENOENT || error == ENOTDIR) return {};  // there is no way to it, so it does not exist
    return std::move(parent).failure();
  }
  if (parent->name.empty() || parent->name == "." || parent->name == "..") return os_failure(EINVAL, what);
  if (parent->slash) {  // then only a directory is meant, and a link to a directory is not one
    struct stat status {};
    if (::fstatat(parent->directory.get(), parent->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno == ENOENT ? Result<void>() : os_failure(errno, what);
    }
    if (!S_ISDIR(status.st_mode)) return os_failure(ENOTDIR, what);
  }
  return Removal(parent->directory.get(), std::move(parent->name), cancelled).run();
}

}  // namespace remsh
