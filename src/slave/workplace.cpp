// Workplace: the directories of a session, and the root that its paths cannot leave.
#include "slave/workplace.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/strange_path.hpp"
#include "os/tree.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <utility>

namespace remsh {

namespace {

/// The rest of an absolute path after a directory, relative to it; nullopt if it is not inside.
std::optional<Bytes> rest_beneath(BytesView directory, BytesView path) {
  if (directory == "/") directory = {};
  if (!path.starts_with(directory)) return std::nullopt;
  path.remove_prefix(directory.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  while (path.starts_with('/')) path.remove_prefix(1);
  return path.empty() ? "." : Bytes(path);
}

Failure leads_out(const Directory& root, At::Reach reach) {
  return path_failure({root.descriptor(), reach}, EXDEV, "open");
}

/// Refuses a directory that another user has created first, in the hope that we use it: that user could read and change
/// it.
Result<void> check_owner(const Bytes& path) {
  const auto strange = find_strange_part(path);
  if (!strange) return {};
  return Failure{
      Errc::local_os_error,
      formatted(
          "{} was made by user {}, in a directory where every user can: give a directory that nobody else can make",
          in_quotes(strange->path), strange->owner),
      EPERM};
}

}  // namespace

Result<std::shared_ptr<Workplace>> Workplace::open(const Bytes& basedir, const Bytes& root, At::Reach reach) {
  std::shared_ptr<const Directory> jail;
  At at = AT_FDCWD;
  Bytes path = basedir;
  if (auto checked = check_owner(root.empty() ? basedir : root); !checked) return std::move(checked).failure();
  if (!root.empty()) {
    if (auto made = make_directories(AT_FDCWD, root); !made) return std::move(made).failure();
    auto opened = Directory::open(AT_FDCWD, root);
    if (!opened) return std::move(opened).failure();
    jail = std::make_shared<const Directory>(std::move(*opened));
    at = {jail->descriptor(), reach};
    if (path.empty()) path = ".";
    if (path.starts_with('/')) {
      auto rest = rest_beneath(jail->path(), path);
      if (!rest) return leads_out(*jail, reach);
      path = std::move(*rest);
    }
  }
  if (auto made = make_directories(at, path); !made) return std::move(made).failure();
  auto base = Directory::open(at, path);
  if (!base) return std::move(base).failure();
  if (auto checked = check_owner(base->path()); !checked) return std::move(checked).failure();
  return std::shared_ptr<Workplace>(
      new Workplace(std::move(jail), reach, std::make_shared<const Directory>(std::move(*base))));
}

void Workplace::remove_abandoned_parts() const {
  remsh::remove_abandoned_parts(base_->descriptor(), [this](const Bytes& recorded) {
    const auto place = place_in_base(recorded);
    if (!place) return errno = place.failure().os, UniqueFd();
    return open_at(place->at, place->path, open_to_resolve);
  });
}

std::shared_ptr<const Directory> Workplace::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

Result<Bytes> Workplace::set_current(const std::optional<Bytes>& path) {
  std::shared_ptr<const Directory> wanted = path ? current() : base_;
  if (path && path->empty()) return wanted->path();
  if (path) {
    auto found = find_directory(*path);
    if (!found) return std::move(found).failure();
    wanted = std::make_shared<const Directory>(std::move(*found));
  }
  Bytes absolute = wanted->path();
  const std::lock_guard lock(mutex_);
  current_.swap(wanted);  // the previous one is closed after the unlock
  return absolute;
}

Result<Directory> Workplace::find_directory(const Bytes& path) const {
  auto opened = open_directory(path);
  if (opened && root_ && !rest_beneath(root_->path(), opened->path())) return leads_out(*root_, reach_);
  return opened;
}

Result<Directory> Workplace::open_directory(const Bytes& path) const {
  const auto where = place(path);
  if (!where) return where.failure();
  return Directory::open(where->at, where->path);
}

Result<Workplace::Place> Workplace::place_from(const std::shared_ptr<const Directory>& from, const Bytes& path) const {
  if (!root_) return Place{from, from->descriptor(), path};
  const At at{root_->descriptor(), reach_};
  if (path.empty()) return Place{root_, at, path};  // an empty path fails when it is used
  // Begins at the root, so that `..` may lead up to it. The directory's own path contains no links, as the system has
  // returned it.
  const bool is_absolute = path.starts_with('/');
  auto rest = rest_beneath(root_->path(), is_absolute ? path : from->path());
  if (!rest) return leads_out(*root_, reach_);
  if (is_absolute || *rest == ".") return Place{root_, at, is_absolute ? *rest : path};
  return Place{root_, at, std::move(*rest) + "/" + path};
}

}  // namespace remsh
