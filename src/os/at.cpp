// At: the directory in which paths begin, and whether they may lead out of it.
#include "os/at.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif

namespace remsh {

const int open_to_resolve = O_PATH | O_DIRECTORY | O_CLOEXEC;

namespace {

constexpr int open_to_look = O_PATH | O_CLOEXEC;

/// Resolves a path component by component. `..` goes back to the directory before; links are read, not followed.
class Walk {
 public:
  Walk(int root, const Bytes& path) : root_(root) { push(path); }

  UniqueFd open(int flags) {
    while (!todo_.empty() && errno_ == 0) {
      const Bytes name = std::move(todo_.back());
      todo_.pop_back();
      const bool is_last = todo_.empty();
      if (name == "..") {
        go_up();
      } else if (name != "." && !(is_last && (flags & O_NOFOLLOW) != 0) && follow(name)) {
        continue;
      } else if (name != "." && is_last) {
        return UniqueFd(::openat(here(), name.c_str(), flags | O_NOFOLLOW));
      } else if (name != ".") {
        go_down(name);
      }
      if (is_last && errno_ == 0) return UniqueFd(::openat(here(), ".", flags));
    }
    errno = errno_;
    return {};
  }

 private:
  static constexpr std::size_t max_depth = 512;  // each level is a descriptor
  static constexpr int max_links = 40;           // as on Linux

  [[nodiscard]] int here() const { return above_.empty() ? root_ : above_.back().get(); }

  void push(const Bytes& path) {
    if (path.empty()) errno_ = ENOENT;
    if (path.starts_with('/')) errno_ = EXDEV;
    if (path.size() >= PATH_MAX) errno_ = ENAMETOOLONG;
    if (errno_ != 0) return;
    std::vector<Bytes> names;
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      if (end > begin) names.push_back(path.substr(begin, end - begin));
      begin = end + 1;
    }
    if (path.back() == '/') names.emplace_back(".");  // so that the name before it must be a directory
    while (!names.empty()) {
      todo_.push_back(std::move(names.back()));
      names.pop_back();
    }
  }

  /// True if the name is a link; its target is to be resolved next.
  bool follow(const Bytes& name) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(here(), name.c_str(), target.data(), target.size());
    if (size < 0) return false;  // not a link, or missing: openat() will tell
    errno_ = ++links_ > max_links ? ELOOP : 0;
    push(Bytes(target.data(), static_cast<std::size_t>(size)));
    return true;
  }

  void go_down(const Bytes& name) {
    UniqueFd next(::openat(here(), name.c_str(), open_to_resolve | O_NOFOLLOW));
    if (!next) errno_ = errno;
    if (next && above_.size() >= max_depth) errno_ = ENAMETOOLONG;
    above_.push_back(std::move(next));
  }

  void go_up() {
    if (above_.empty()) {
      errno_ = EXDEV;
    } else {
      above_.pop_back();
    }
  }

  const int root_;
  std::vector<UniqueFd> above_;  // from the directory below the root to the current one
  std::vector<Bytes> todo_;      // in reverse order
  int links_ = 0;
  int errno_ = 0;
};

/// Lets the kernel resolve the path, never by a magic link, and if `is_beneath`, never out of the directory. nullopt if
/// it cannot.
std::optional<UniqueFd> open_resolved([[maybe_unused]] int at, [[maybe_unused]] const Bytes& path,
                                      [[maybe_unused]] int flags, [[maybe_unused]] bool is_beneath) {
#if defined(SYS_openat2) && defined(RESOLVE_BENEATH)
  constexpr int patience = 100;  // EAGAIN: another process renames directories on the path, by chance or as an attack
  open_how how{};
#if defined(O_LARGEFILE)
  if ((flags & O_PATH) == 0) flags |= O_LARGEFILE;
#endif
  how.flags = static_cast<unsigned>(flags);
  how.resolve = RESOLVE_NO_MAGICLINKS | (is_beneath ? RESOLVE_BENEATH : 0U);
  for (int attempt = 0; attempt < patience; ++attempt) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, at, path.c_str(), &how, sizeof how)));
    if (fd || (errno != EAGAIN && errno != EINTR)) {
      // EPERM is also what a sandbox answers to a system call that it does not know.
      if (!fd && (errno == ENOSYS || errno == EPERM)) return std::nullopt;
      return fd;
    }
  }
  return UniqueFd();
#else
  return std::nullopt;
#endif
}

}  // namespace

UniqueFd open_at(At at, const Bytes& path, int flags) {
  if (at.reach == At::Reach::anywhere) return UniqueFd(::openat(at.descriptor, path.c_str(), flags));
  if (at.reach != At::Reach::beneath_by_walking) {
    if (auto opened = open_resolved(at.descriptor, path, flags, at.is_confined())) return std::move(*opened);
  }
  if (!at.is_confined()) return UniqueFd();  // with the errno of the kernel
  return Walk(at.descriptor, path).open(flags);
}

int stat_at(At at, const Bytes& path, struct stat& status, bool follow) {
  const int nofollow = follow ? 0 : AT_SYMLINK_NOFOLLOW;
  if (at.reach == At::Reach::anywhere) {
    return ::fstatat(at.descriptor, path.c_str(), &status, nofollow) == 0 ? 0 : errno;
  }
  const UniqueFd fd = open_at(at, path, open_to_look | (follow ? 0 : O_NOFOLLOW));
  return fd && ::fstat(fd.get(), &status) == 0 ? 0 : errno;
}

int mkdir_at(At at, const Bytes& path, mode_t mode) {
  if (!at.is_confined()) return ::mkdirat(at.descriptor, path.c_str(), mode) == 0 ? 0 : errno;
  if (path.empty()) return ENOENT;
  const SplitPath split(path);
  const UniqueFd directory = open_at(at, split.directory, open_to_resolve);
  return directory && ::mkdirat(directory.get(), split.name.c_str(), mode) == 0 ? 0 : errno;
}

SplitPath::SplitPath(const Bytes& path) : directory("/"), slash(path.ends_with('/')) {
  const std::size_t last = path.find_last_not_of('/');
  if (last == Bytes::npos) return;
  const std::size_t before = path.rfind('/', last);
  name = path.substr(before + 1, last - before);  // npos + 1 is 0
  directory = before == Bytes::npos ? "." : path.substr(0, before + 1);
}

}  // namespace remsh
