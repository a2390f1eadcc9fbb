#include "os/followed_file.hpp"

#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

#include <algorithm>
#include <cerrno>
#include <utility>

namespace remsh {

namespace {

/// Whether a file is one of /proc: it says what a process is, and its content may depend on who reads it.
bool is_of_the_system([[maybe_unused]] int file) {
#if defined(__linux__)
  struct statfs system {};
  return ::fstatfs(file, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
#else
  return false;
#endif
}

}  // namespace

FollowedFile::FollowedFile(At at, Bytes path, From from) : at_(at), path_(std::move(path)) {
  if (!open_next()) return;
  current_ = std::exchange(next_, {});
  struct stat status {};
  if (from == From::start || ::fstat(current_.fd.get(), &status) != 0) return;
  if (from == From::end) {
    position_ = static_cast<std::uint64_t>(status.st_size);
  } else {
    untouched_ = Untouched{status.st_size, status.st_mtim};
  }
}

std::size_t FollowedFile::read(std::span<char> buffer) {
  for (;;) {
    if (current_.fd && !is_untouched()) {
      const std::size_t count = read_current(buffer);
      if (count > 0) return count;
    }
    if (next_.fd) {
      // It was there before the last read, so the current one has nothing more that was written before.
      current_ = std::exchange(next_, {});
      position_ = 0;
      untouched_.reset();
      if (is_ending_) end_here();
      continue;
    }
    if (is_ending_ && std::exchange(has_looked_, true)) return 0;
    if (!open_next()) return 0;
  }
}

void FollowedFile::end_here() {
  is_ending_ = true;
  struct stat status {};
  if (current_.fd && ::fstat(current_.fd.get(), &status) == 0) limit_ = static_cast<std::uint64_t>(status.st_size);
}

std::size_t FollowedFile::read_current(std::span<char> buffer) {
  for (;;) {
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), limit_ - std::min(limit_, position_)));
    const ssize_t count =
        wanted == 0 ? 0 : ::pread(current_.fd.get(), buffer.data(), wanted, static_cast<off_t>(position_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) problem_ = os_failure(errno, "read");
    if (count > 0) position_ += static_cast<std::uint64_t>(count);
    if (count > 0) return static_cast<std::size_t>(count);
    struct stat status {};
    const bool is_shorter = count == 0 && ::fstat(current_.fd.get(), &status) == 0 &&
                            static_cast<std::uint64_t>(status.st_size) < position_;
    if (!is_shorter) return 0;
    position_ = 0;
    if (is_ending_) limit_ = static_cast<std::uint64_t>(status.st_size);
    if (status.st_size == 0) return 0;  // also if the system gives no size, though there is content
  }
}

/// Whether nothing is to be read of the current file yet.
bool FollowedFile::is_untouched() {
  if (!untouched_) return false;
  struct stat status {};
  const bool is_same = ::fstat(current_.fd.get(), &status) == 0 && status.st_size == untouched_->size &&
                       status.st_mtim.tv_sec == untouched_->changed.tv_sec &&
                       status.st_mtim.tv_nsec == untouched_->changed.tv_nsec;
  if (is_same && !is_changed_) return true;
  untouched_.reset();
  return false;
}

bool FollowedFile::is_current(const struct stat& status) const {
  return current_.fd && status.st_dev == current_.device && status.st_ino == current_.number;
}

/// Opens the file at the path, unless it is the current one. False if there is no other.
bool FollowedFile::open_next() {
  struct stat status {};
  if (current_.fd && stat_at(at_, path_, status, true) == 0 && is_current(status)) return false;
  Result<OpenFile> file = open_file(at_, path_);
  if (!file.ok()) {
    if (!current_.fd || file.failure().os != ENOENT) problem_ = std::move(file).failure();
    return false;
  }
  if (::fstat(file->fd.get(), &status) != 0 || is_current(status)) return false;
  if (is_of_the_system(file->fd.get())) {
    problem_ = os_failure(EPERM, "a file of /proc");
    return false;
  }
  next_ = Open{std::move(file->fd), status.st_dev, status.st_ino};
  ++openings_;
  problem_.reset();
  return true;
}

}  // namespace remsh
