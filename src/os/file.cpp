// File system calls with errors as values; NewFile: a file that appears only when it is complete.
#include "os/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace remsh {

namespace {

// So many random names in use is not chance: somebody answers EEXIST to everything.
constexpr int name_attempts = 100;

Bytes temporary_name() {
  static constexpr char digits[] = "0123456789abcdef";
  Bytes name = ".remsh-";
  std::random_device random;
  for (int word = 0; word < 2; ++word) {
    auto bits = random();
    for (int i = 0; i < 8; ++i, bits >>= 4) name += digits[bits & 0xf];
  }
  return name + ".part";
}

bool exists(int at, const char* path) {
  struct stat what {};
  return ::fstatat(at, path, &what, AT_SYMLINK_NOFOLLOW) == 0;
}

// Renames in one step that fails with EEXIST; false with ENOSYS or EINVAL where system or file system has no such step.
bool rename_exclusively(int at_from, const char* from, int at_to, const char* to) {
#if defined(__linux__) && defined(SYS_renameat2)
  constexpr unsigned noreplace = 1;  // RENAME_NOREPLACE, which not every C library names
  return ::syscall(SYS_renameat2, at_from, from, at_to, to, noreplace) == 0;
#else
  static_cast<void>(at_from), static_cast<void>(from), static_cast<void>(at_to), static_cast<void>(to);
  errno = ENOSYS;
  return false;
#endif
}

// Gives an errno value, 0 for success.
int rename_without_replacing(int at_from, const char* from, int at_to, const char* to) {
  if (rename_exclusively(at_from, from, at_to, to)) return 0;
  if (errno != ENOSYS && errno != EINVAL && errno != EOPNOTSUPP) return errno;

  struct stat source {};
  if (::fstatat(at_from, from, &source, AT_SYMLINK_NOFOLLOW) != 0) return errno;
  if (!S_ISDIR(source.st_mode)) {
    // A new link never replaces; for a moment the file has both names.
    if (::linkat(at_from, from, at_to, to, 0) == 0) {
      if (::unlinkat(at_from, from, 0) == 0 || errno == ENOENT) return 0;
      const int error = errno;
      ::unlinkat(at_to, to, 0);
      return error;
    }
    // These say that this file cannot be linked here; everything else is an answer.
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK) return errno;
  }
  if (exists(at_to, to)) return EEXIST;
  return ::renameat(at_from, from, at_to, to) == 0 ? 0 : errno;
}

int rename_at(int at_from, const char* from, int at_to, const char* to, bool overwrite) {
  if (!overwrite) return rename_without_replacing(at_from, from, at_to, to);
  return ::renameat(at_from, from, at_to, to) == 0 ? 0 : errno;
}

}  // namespace

Failure os_failure(int error, BytesView what) {
  std::string message(what);
  if (!message.empty()) message += ": ";
  return {Errc::os_error, message + std::generic_category().message(error), error};
}

Failure path_failure(At at, int error, BytesView what) {
  if (!at.is_confined() || error != EXDEV) return os_failure(error, what);
  return {Errc::os_error, Bytes(what) + ": The policy of this slave forbids paths that lead out of its root", EPERM};
}

Result<void> check_path(const Bytes& path, BytesView what) {
  if (path.find('\0') != Bytes::npos) return os_failure(EINVAL, what);
  return {};
}

Result<OpenParent> open_parent(At at, const Bytes& path, BytesView what) {
  if (auto checked = check_path(path, what); !checked) return std::move(checked).failure();
  if (path.empty()) return os_failure(ENOENT, what);
  SplitPath split(path);
  OpenParent parent{open_at(at, split.directory, open_to_resolve), std::move(split.name), split.slash};
  if (!parent.directory) return path_failure(at, errno, what);
  return parent;
}

Result<OpenFile> open_file(At at, const Bytes& path) {
  constexpr BytesView what = "open";
  if (auto checked = check_path(path, what); !checked) return std::move(checked).failure();

  // Looked at before it is opened, because to open a fifo or a device can have effects; and again after, because it
  // may be another one by then, which O_NONBLOCK is for.
  struct stat status {};
  const auto refused = [&]() -> int {
    if (S_ISREG(status.st_mode)) return 0;
    return S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
  };
  const auto refuse = [&](int error) {
    return error == EISDIR ? os_failure(EISDIR, what) : Failure{Errc::os_error, "open: Not a regular file", error};
  };
  if (const int error = stat_at(at, path, status, true)) return path_failure(at, error, what);
  if (const int error = refused()) return refuse(error);

  OpenFile file;
  file.fd = open_at(at, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (!file.fd) return path_failure(at, errno, what);
  if (::fstat(file.fd.get(), &status) != 0) return os_failure(errno, what);
  if (const int error = refused()) return refuse(error);
  file.size = static_cast<std::uint64_t>(status.st_size);
  file.mode = status.st_mode & 07777;
  return file;
}

Result<std::size_t> read_file(int descriptor, std::span<char> buffer) {
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return os_failure(errno, "read");
  }
}

NewFile::NewFile(UniqueFd directory, UniqueFd file, Bytes temporary, Bytes name, bool overwrite)
    : directory_(std::move(directory)),
      file_(std::move(file)),
      temporary_(std::move(temporary)),
      name_(std::move(name)),
      overwrite_(overwrite) {}

NewFile::NewFile(NewFile&& other) noexcept
    : directory_(std::move(other.directory_)),
      file_(std::move(other.file_)),
      temporary_(std::exchange(other.temporary_, {})),
      name_(std::move(other.name_)),
      overwrite_(other.overwrite_),
      size_(other.size_) {}

NewFile& NewFile::operator=(NewFile&& other) noexcept {
  if (this != &other) {
    drop();
    directory_ = std::move(other.directory_);
    file_ = std::move(other.file_);
    temporary_ = std::exchange(other.temporary_, {});
    name_ = std::move(other.name_);
    overwrite_ = other.overwrite_;
    size_ = other.size_;
  }
  return *this;
}

NewFile::~NewFile() { drop(); }

void NewFile::drop() noexcept {
  if (!temporary_.empty()) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
  temporary_.clear();
}

Result<NewFile> NewFile::create(At at, const Bytes& path, bool overwrite) {
  constexpr BytesView what = "create";
  auto parent = open_parent(at, path, what);
  if (!parent) return std::move(parent).failure();
  const int directory = parent->directory.get();
  if (parent->slash || parent->name.empty() || parent->name == "." || parent->name == "..") {
    return os_failure(EISDIR, what);
  }

  struct stat there {};
  if (::fstatat(directory, parent->name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!overwrite) return os_failure(EEXIST, what);
    if (S_ISDIR(there.st_mode)) return os_failure(EISDIR, what);
  } else if (errno != ENOENT) {
    return os_failure(errno, what);
  }

  for (int attempt = 0; attempt < name_attempts; ++attempt) {
    Bytes temporary = temporary_name();
    UniqueFd file(::openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file) {
      return NewFile(std::move(parent->directory), std::move(file), std::move(temporary), std::move(parent->name),
                     overwrite);
    }
    if (errno != EEXIST) return os_failure(errno, what);
  }
  return os_failure(EEXIST, "create a temporary file");
}

Result<void> NewFile::write(BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return os_failure(errno, "write");
    }
    if (count == 0) return os_failure(EIO, "write");  // to try for ever would be worse
    bytes.remove_prefix(static_cast<std::size_t>(count));
    size_ += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<void> NewFile::commit(mode_t mode) {
  if (::fchmod(file_.get(), mode & 07777) != 0) return os_failure(errno, "chmod");
  // Some file systems tell only now that they could not keep what was written.
  if (::close(file_.release()) != 0 && errno != EINTR) return os_failure(errno, "close");
  if (const int error = rename_at(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str(), overwrite_)) {
    return os_failure(error, "create");
  }
  temporary_.clear();
  return {};
}

namespace {

/// Resolves both paths first, so that what is renamed are names in directories that are held open.
Result<void> rename_confined(At at_from, const Bytes& from, At at_to, const Bytes& to, bool overwrite) {
  constexpr BytesView what = "rename";
  const auto source = open_parent(at_from, from, what);
  if (!source) return source.failure();
  const auto target = open_parent(at_to, to, what);
  if (!target) return target.failure();
  for (const Bytes& name : {source->name, target->name}) {
    if (name.empty() || name == "." || name == "..") return os_failure(EBUSY, what);
  }
  if (source->slash || target->slash) {  // then only a directory is meant, and a link to one is none
    struct stat status {};
    if (::fstatat(source->directory.get(), source->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return os_failure(errno, what);
    }
    if (!S_ISDIR(status.st_mode)) return os_failure(ENOTDIR, what);
  }
  const int error = rename_at(source->directory.get(), source->name.c_str(), target->directory.get(),
                              target->name.c_str(), overwrite);
  return error == 0 ? Result<void>() : os_failure(error, what);
}

}  // namespace

Result<void> rename_path(At at_from, const Bytes& from, At at_to, const Bytes& to, bool overwrite) {
  if (auto checked = check_path(from, "rename"); !checked) return checked;
  if (auto checked = check_path(to, "rename"); !checked) return checked;
  if (at_from.is_confined() || at_to.is_confined()) return rename_confined(at_from, from, at_to, to, overwrite);
  if (const int error = rename_at(at_from.descriptor, from.c_str(), at_to.descriptor, to.c_str(), overwrite)) {
    return os_failure(error, "rename");
  }
  return {};
}

}  // namespace remsh
