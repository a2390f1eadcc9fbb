// Directory: a directory held open, against which paths are resolved; never chdir.
#include "os/directory.hpp"

#include "base/format.hpp"
#include "os/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <string>

namespace remsh {

Bytes path_of_directory(int descriptor) {
  char buffer[PATH_MAX];
  const ssize_t size = ::readlink(formatted("/proc/self/fd/{}", descriptor).c_str(), buffer, sizeof(buffer));
  if (size < 0) return {};
  if (size == sizeof(buffer)) return errno = ENAMETOOLONG, Bytes();
  return {buffer, static_cast<std::size_t>(size)};
}

Result<Directory> Directory::open(At at, const Bytes& path) {
  constexpr BytesView what = "open";
  if (auto checked = check_path(path, what); !checked) return std::move(checked).failure();
  UniqueFd fd = open_at(at, path, open_to_resolve);  // works without permission to read the directory
  if (!fd) return path_failure(at, errno, what);

  // Fails if chdir would: a directory without search permission is of no use.
  struct stat status {};
  if (::fstatat(fd.get(), ".", &status, 0) != 0) return os_failure(errno, what);

  Bytes absolute = path_of_directory(fd.get());
  if (absolute.empty() && !at.is_confined() && (at.descriptor == AT_FDCWD || path.front() == '/')) {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
    if (real) absolute = real.get();
  }
  if (absolute.empty()) return os_failure(errno, "find the path of a directory");
  return Directory(std::move(fd), std::move(absolute));
}

}  // namespace remsh
