// File system calls with errors as values.
#include "os/file.hpp"

#include "base/format.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace remsh {

Failure os_failure(int error, BytesView what) {
  std::string message(what);
  if (!message.empty()) message += ": ";
  return {Errc::os_error, message + std::generic_category().message(error), error};
}

Failure path_failure(At at, int error, BytesView what) {
  if (!at.is_confined() || error != EXDEV) return os_failure(error, what);
  return {Errc::os_error, formatted("{}: The policy of this slave forbids paths that lead out of its root", what),
          EPERM};
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

  // Checked before opening, because opening a fifo or a device can have effects; and after it, because it may be
  // another file by then. O_NONBLOCK is for that case.
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

Result<void> write_file(int descriptor, BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return os_failure(errno, "write");
    }
    if (count == 0) return os_failure(EIO, "write");  // retrying for ever would be worse
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Result<std::size_t> read_file(int descriptor, std::span<char> buffer) {
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return os_failure(errno, "read");
  }
}

}  // namespace remsh
