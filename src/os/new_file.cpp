// NewFile: a file that appears under its name only when it is complete.
#include "os/new_file.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/rename.hpp"
#include "os/sync.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

namespace remsh {

namespace {

constexpr BytesView create_what = "create";

// More collisions than this are not chance: the file system answers EEXIST to everything.
constexpr int name_attempts = 100;

Bytes path_by_descriptor(int descriptor) { return formatted("/proc/self/fd/{}", descriptor); }

/// Opens a file without a name, to be named later; empty if the system or the file system does not support that.
UniqueFd open_unnamed(int directory) {
  UniqueFd file(::openat(directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  // The file will get its name by this path.
  if (file && ::access(path_by_descriptor(file.get()).c_str(), F_OK) != 0) file.reset();
  return file;
}

UniqueFd open_new(int directory, const Bytes& name) {
  return UniqueFd(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
}

/// Some file systems report only in close() that they could not store the data.
Result<void> flush(int file) {
  const int duplicate = ::fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (duplicate >= 0 && ::close(duplicate) != 0 && errno != EINTR) return os_failure(errno, "close");
  return {};
}

Failure is_directory() {
  Failure failure = os_failure(EISDIR, create_what);
  failure.message += ": give the path of a file in it";
  return failure;
}

/// Errors that are about the destination. All others mean that a file without a name cannot be named here.
bool is_about_destination(int error) {
  return error == EEXIST || error == ENOSPC || error == EDQUOT || error == EIO || error == EROFS || error == ENOENT;
}

}  // namespace

NewFile::NewFile(UniqueFd directory, Bytes name, Options options)
    : directory_(std::move(directory)), name_(std::move(name)), options_(options) {}

NewFile::NewFile(NewFile&& other) noexcept = default;

NewFile& NewFile::operator=(NewFile&& other) noexcept {
  if (this != &other) {
    drop();
    directory_ = std::move(other.directory_);
    file_ = std::move(other.file_);
    name_ = std::move(other.name_);
    options_ = other.options_;
    part_ = std::move(other.part_);
    size_ = other.size_;
  }
  return *this;
}

NewFile::~NewFile() { drop(); }

void NewFile::drop() noexcept {
  if (!part_.name().empty()) ::unlinkat(directory_.get(), part_.name().c_str(), 0);
  part_.drop();
}

Result<NewFile> NewFile::create(At at, const Bytes& path, Options options) {
  auto parent = open_parent(at, path, create_what);
  if (!parent && parent.failure().os == ENOENT && !path.empty()) {
    Failure failure = std::move(parent).failure();
    failure.message += formatted(": make the directory {} first", in_quotes(SplitPath(path).directory));
    return failure;
  }
  if (!parent) return std::move(parent).failure();
  const int directory = parent->directory.get();
  if (parent->slash || parent->name.empty() || parent->name == "." || parent->name == "..") {
    return is_directory();
  }

  struct stat there {};
  if (::fstatat(directory, parent->name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!options.overwrite) return os_failure(EEXIST, create_what);
    if (S_ISDIR(there.st_mode)) return is_directory();
  } else if (errno != ENOENT) {
    return os_failure(errno, create_what);
  }

  if (options.home < 0) remove_abandoned_parts_in(directory);
  NewFile file(std::move(parent->directory), std::move(parent->name), options);
  if (!options.always_named) file.file_ = open_unnamed(directory);
  if (!file.file_) {
    if (auto opened = file.open_named(); !opened) return std::move(opened).failure();
  }
  return file;
}

/// Opens the file under a temporary name.
Result<void> NewFile::open_named() {
  for (int attempt = 0; attempt < name_attempts; ++attempt) {
    PartRecord part = PartRecord::make_for(directory_.get(), options_.home);
    UniqueFd file = open_new(directory_.get(), part.name());
    if (file) {
      file_ = std::move(file);
      part_ = std::move(part);
      return {};
    }
    if (errno != EEXIST) return os_failure(errno, create_what);
  }
  return os_failure(EEXIST, "create a temporary file");
}

Result<void> NewFile::write(BytesView bytes) {
  auto written = write_file(file_.get(), bytes);
  if (written) size_ += bytes.size();
  return written;
}

Result<void> NewFile::commit(mode_t mode, bool durable) {
  if (::fchmod(file_.get(), mode & 07777) != 0) return os_failure(errno, "chmod");
  if (auto kept = durable ? sync_file(file_.get()) : flush(file_.get()); !kept) return kept;
  if (part_.name().empty()) {
    const int error = link(name_);
    if (error != 0 && !is_about_destination(error)) {
      if (auto copied = copy_to_named(); !copied) return copied;
      return commit(mode, durable);
    }
    if (error != 0 && !(error == EEXIST && options_.overwrite)) return os_failure(error, create_what);
    if (error == EEXIST) {
      if (auto replaced = link_to_part(); !replaced) return replaced;
    }
  }
  if (!part_.name().empty()) {
    const int at = directory_.get();
    if (const int error = rename_at(at, part_.name().c_str(), at, name_.c_str(), options_.overwrite)) {
      return os_failure(error, create_what);
    }
    part_.drop();
  }
  file_.reset();  // it may be a program, which cannot be run while a descriptor is open for writing
  return durable ? sync_directory(directory_.get()) : Result<void>();
}

/// Names a file that has no name; the name must be free. 0, or an errno value.
int NewFile::link(const Bytes& name) const {
  const Bytes path = path_by_descriptor(file_.get());
  return ::linkat(AT_FDCWD, path.c_str(), directory_.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/// Gives the file a temporary name, from which it can replace another file.
Result<void> NewFile::link_to_part() {
  for (int attempt = 0; attempt < name_attempts; ++attempt) {
    PartRecord part = PartRecord::make_for(directory_.get(), options_.home);
    const int error = link(part.name());
    if (error == 0) return part_ = std::move(part), Result<void>();
    if (error != EEXIST) return os_failure(error, create_what);
  }
  return os_failure(EEXIST, "create a temporary file");
}

/// For a file without a name that the system lets us create, but not link.
Result<void> NewFile::copy_to_named() {
  const UniqueFd unnamed = std::move(file_);
  if (auto opened = open_named(); !opened) return opened;
  const std::uint64_t size = size_;
  Bytes buffer(std::size_t{64} * 1024, '\0');
  for (off_t offset = 0;;) {
    const ssize_t count = ::pread(unnamed.get(), buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return os_failure(errno, "read");
    if (count == 0) break;
    if (auto written = write(BytesView(buffer).substr(0, static_cast<std::size_t>(count))); !written) return written;
    offset += count;
  }
  size_ = size;
  return {};
}

}  // namespace remsh
