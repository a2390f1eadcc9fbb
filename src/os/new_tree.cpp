// NewTree: a directory tree that appears under its name only when it is complete.
#include "os/new_tree.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/rename.hpp"
#include "os/sync.hpp"
#include "os/tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <utility>

namespace remsh {

namespace {

constexpr BytesView tree_what = "create";
constexpr mode_t mode_while_written = 0700;
constexpr int open_to_fill = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// More than this are not chance: another process makes and removes the destination all the time.
constexpr int tree_attempts = 100;

bool cannot_exchange(int error) { return error == ENOSYS || error == EINVAL || error == EOPNOTSUPP; }

/// Sets the mode and the time of an open file or directory.
Result<void> set_properties(int descriptor, mode_t mode, const timespec& mtime) {
  if (::fchmod(descriptor, mode & 07777) != 0) return os_failure(errno, "chmod");
  const std::array<timespec, 2> times{mtime, mtime};
  if (::futimens(descriptor, times.data()) != 0) return os_failure(errno, "set the time");
  return {};
}

}  // namespace

Result<NewTree> NewTree::create(At at, const Bytes& path, Options options) {
  auto parent = open_parent(at, path, tree_what);
  if (!parent && parent.failure().os == ENOENT && !path.empty()) {
    Failure failure = std::move(parent).failure();
    failure.message += formatted(": make the directory {} first", in_quotes(SplitPath(path).directory));
    return failure;
  }
  if (!parent) return std::move(parent).failure();
  if (parent->name.empty() || parent->name == "." || parent->name == "..") {
    Failure failure = os_failure(EINVAL, tree_what);
    failure.message += ": give the new tree a name in a directory that exists";
    return failure;
  }
  const int directory = parent->directory.get();
  struct stat there {};
  if (::fstatat(directory, parent->name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!options.overwrite) return os_failure(EEXIST, tree_what);
    if (!S_ISDIR(there.st_mode)) return os_failure(ENOTDIR, tree_what);
  } else if (errno != ENOENT) {
    return os_failure(errno, tree_what);
  }
  if (options.home < 0) remove_abandoned_parts_in(directory);
  NewTree tree(std::move(parent->directory), std::move(parent->name), options);
  if (auto made = tree.make_top(); !made) return std::move(made).failure();
  return tree;
}

/// Makes the top of the tree, under a temporary name.
Result<void> NewTree::make_top() {
  const int at = directory_.get();
  for (int attempt = 0; attempt < tree_attempts; ++attempt) {
    PartRecord part = PartRecord::make_for(at, options_.home);
    if (::mkdirat(at, part.name().c_str(), mode_while_written) == 0) {
      part_ = std::move(part);
      top_.reset(::openat(at, part_.name().c_str(), open_to_fill));
      return top_ ? Result<void>() : os_failure(errno, tree_what);
    }
    if (errno != EEXIST) return os_failure(errno, tree_what);
  }
  return os_failure(EEXIST, "create a temporary directory");
}

void NewTree::drop() noexcept {
  file_.reset();
  levels_.clear();
  top_.reset();
  if (part_.name().empty()) return;
  try {
    if (remove_tree(directory_.get(), part_.name())) return part_.drop();
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): no memory
  }
  part_.leave();
}

Result<void> NewTree::enter(const Bytes& name) {
  if (::mkdirat(here(), name.c_str(), mode_while_written) != 0) return os_failure(errno, tree_what);
  UniqueFd made(::openat(here(), name.c_str(), open_to_fill));
  if (!made) return os_failure(errno, tree_what);
  levels_.push_back(std::move(made));
  return {};
}

Result<void> NewTree::leave(mode_t mode, const timespec& mtime) {
  auto set = set_properties(here(), mode, mtime);
  if (!levels_.empty()) levels_.pop_back();
  return set;
}

Result<void> NewTree::open_file(const Bytes& name) {
  file_.reset(::openat(here(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file_) return os_failure(errno, tree_what);
  file_name_ = name;
  return {};
}

Result<void> NewTree::write(BytesView bytes) { return write_file(file_.get(), bytes); }

Result<void> NewTree::close_file(mode_t mode, const timespec& mtime) {
  if (auto set = set_properties(file_.get(), mode, mtime); !set) return set;
  // Some file systems report only here that they could not store the data.
  if (::close(file_.release()) != 0 && errno != EINTR) return os_failure(errno, "close");
  return {};
}

Result<void> NewTree::drop_file() {
  file_.reset();
  if (::unlinkat(here(), file_name_.c_str(), 0) != 0) return os_failure(errno, "remove");
  return {};
}

Result<void> NewTree::make_link(const Bytes& name, const Bytes& target, const timespec& mtime) {
  if (::symlinkat(target.c_str(), here(), name.c_str()) != 0) return os_failure(errno, tree_what);
  const std::array<timespec, 2> times{mtime, mtime};
  if (::utimensat(here(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return os_failure(errno, "set the time");
  }
  return {};
}

/// True if an existing directory was exchanged, which has the temporary name then.
Result<bool> NewTree::give_name() {
  const int at = directory_.get();
  const char* const part = part_.name().c_str();
  const char* const name = name_.c_str();
  for (int attempt = 0; attempt < tree_attempts; ++attempt) {
    int error = rename_at(at, part, at, name, false);
    if (error == 0) return false;
    if (error != EEXIST || !options_.overwrite) return os_failure(error, tree_what);
    struct stat there {};
    error = ::fstatat(at, name, &there, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
    if (error == 0 && !S_ISDIR(there.st_mode)) error = ENOTDIR;
    if (error == 0) error = exchange_at(at, part, at, name);
    if (error == 0) return true;
    if (error != ENOENT) {
      Failure failure = os_failure(error, "replace");
      if (cannot_exchange(error)) {
        failure.message += ": this file system cannot exchange two directories in one step: remove the old one first";
      }
      return failure;
    }
  }
  return os_failure(EEXIST, tree_what);
}

Result<void> NewTree::commit(bool durable) {
  if (auto kept = durable ? sync_file_system(top_.get()) : Result<void>(); !kept) return kept;
  top_.reset();
  const auto replaced = give_name();
  if (!replaced) return replaced.failure();
  if (!*replaced) part_.drop();  // before anything can fail: the temporary name is free
  if (auto kept = durable ? sync_directory(directory_.get()) : Result<void>(); !kept) return kept;
  if (!*replaced) return {};
  auto removed = remove_tree(directory_.get(), part_.name());
  if (removed) {
    part_.drop();
    return {};
  }
  Failure failure = std::move(removed).failure();
  failure.message = formatted("the new tree is in its place, but the old one, now {}, could not be removed: {}",
                              in_quotes(part_.name()), failure.message);
  part_.leave();
  return failure;
}

}  // namespace remsh
