// Workplace: where a session's relative paths begin.
#include "slave/workplace.hpp"

#include "os/tree.hpp"

#include <fcntl.h>

#include <utility>

namespace remsh {

Result<std::shared_ptr<Workplace>> Workplace::open(const Bytes& basedir) {
  if (auto made = make_directories(AT_FDCWD, basedir); !made) return std::move(made).failure();
  auto base = Directory::open(AT_FDCWD, basedir);
  if (!base) return std::move(base).failure();
  return std::shared_ptr<Workplace>(new Workplace(std::make_shared<const Directory>(std::move(*base))));
}

std::shared_ptr<const Directory> Workplace::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

Result<Bytes> Workplace::set_current(const std::optional<Bytes>& path) {
  std::shared_ptr<const Directory> wanted = path ? current() : base_;
  if (path && path->empty()) return wanted->path();
  if (path) {
    auto opened = Directory::open(wanted->descriptor(), *path);
    if (!opened) return std::move(opened).failure();
    wanted = std::make_shared<const Directory>(std::move(*opened));
  }
  Bytes absolute = wanted->path();
  const std::lock_guard lock(mutex_);
  current_.swap(wanted);  // the one before is closed after the lock is gone
  return absolute;
}

}  // namespace remsh
