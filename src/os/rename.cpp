// Renaming, with or without replacing what is at the destination.
#include "os/rename.hpp"

#include "os/file.hpp"
#include "os/sync.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace remsh {

namespace {

bool exists(int at, const char* path) {
  struct stat what {};
  return ::fstatat(at, path, &what, AT_SYMLINK_NOFOLLOW) == 0;
}

// Not every C library defines these.
constexpr unsigned rename_noreplace = 1;
constexpr unsigned rename_exchange = 2;

// Renames in one step. False with ENOSYS or EINVAL if the system or file system has no such step.
bool rename_with(unsigned flags, int at_from, const char* from, int at_to, const char* to) {
#if defined(SYS_renameat2)
  return ::syscall(SYS_renameat2, at_from, from, at_to, to, flags) == 0;
#else
  static_cast<void>(at_from), static_cast<void>(from), static_cast<void>(at_to), static_cast<void>(to);
  static_cast<void>(flags);
  errno = ENOSYS;
  return false;
#endif
}

// Returns 0 or an errno value.
int rename_without_replacing(int at_from, const char* from, int at_to, const char* to) {
  if (rename_with(rename_noreplace, at_from, from, at_to, to)) return 0;
  if (errno != ENOSYS && errno != EINVAL && errno != EOPNOTSUPP) return errno;

  struct stat source {};
  if (::fstatat(at_from, from, &source, AT_SYMLINK_NOFOLLOW) != 0) return errno;
  if (!S_ISDIR(source.st_mode)) {
    // A new link never replaces a file; for a moment the file has both names.
    if (::linkat(at_from, from, at_to, to, 0) == 0) {
      if (::unlinkat(at_from, from, 0) == 0 || errno == ENOENT) return 0;
      const int error = errno;
      ::unlinkat(at_to, to, 0);
      return error;
    }
    // These mean that this file cannot be linked here; any other error is final.
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK) return errno;
  }
  if (exists(at_to, to)) return EEXIST;
  return ::renameat(at_from, from, at_to, to) == 0 ? 0 : errno;
}

}  // namespace

int rename_at(int at_from, const char* from, int at_to, const char* to, bool overwrite) {
  if (!overwrite) return rename_without_replacing(at_from, from, at_to, to);
  return ::renameat(at_from, from, at_to, to) == 0 ? 0 : errno;
}

int exchange_at(int at_one, const char* one, int at_other, const char* other) {
  return rename_with(rename_exchange, at_one, one, at_other, other) ? 0 : errno;
}

namespace {

/// Opens both directories first, so that only names in open directories are renamed.
Result<void> rename_confined(const OpenParent& source, const OpenParent& target, bool overwrite) {
  constexpr BytesView what = "rename";
  for (const Bytes& name : {source.name, target.name}) {
    if (name.empty() || name == "." || name == "..") return os_failure(EBUSY, what);
  }
  if (source.slash || target.slash) {  // then only a directory is meant, and a link to a directory is not one
    struct stat status {};
    if (::fstatat(source.directory.get(), source.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return os_failure(errno, what);
    }
    if (!S_ISDIR(status.st_mode)) return os_failure(ENOTDIR, what);
  }
  const int error =
      rename_at(source.directory.get(), source.name.c_str(), target.directory.get(), target.name.c_str(), overwrite);
  return error == 0 ? Result<void>() : os_failure(error, what);
}

bool is_same(int one, int other) {
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

}  // namespace

Result<void> rename_path(At at_from, const Bytes& from, At at_to, const Bytes& to, bool overwrite, bool durable) {
  constexpr BytesView what = "rename";
  const auto source = open_parent(at_from, from, what);
  if (!source) return source.failure();
  const auto target = open_parent(at_to, to, what);
  if (!target) return target.failure();
  if (at_from.is_confined() || at_to.is_confined()) {
    if (auto renamed = rename_confined(*source, *target, overwrite); !renamed) return renamed;
  } else if (const int error = rename_at(at_from.descriptor, from.c_str(), at_to.descriptor, to.c_str(), overwrite)) {
    return os_failure(error, what);
  }
  if (!durable) return {};
  const int into = target->directory.get();
  if (auto synced = sync_directory(into); !synced) return synced;
  return is_same(into, source->directory.get()) ? Result<void>() : sync_directory(source->directory.get());
}

}  // namespace remsh
