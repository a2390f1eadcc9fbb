#include "os/directory_reader.hpp"

#include "os/file.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string_view>

namespace remsh {

namespace {
constexpr BytesView what = "read directory";
}

Result<DirectoryReader> DirectoryReader::open(At at, const Bytes& path, int more_flags) {
  UniqueFd fd = open_at(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | more_flags);
  if (!fd) return path_failure(at, errno, what);
  DIR* const directory = ::fdopendir(fd.get());
  if (directory == nullptr) return os_failure(errno, what);
  static_cast<void>(fd.release());  // the DIR owns it now
  return DirectoryReader(directory);
}

Result<std::optional<Bytes>> DirectoryReader::next() {
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(directory_.get());
    if (entry == nullptr && errno != 0) return os_failure(errno, what);
    if (entry == nullptr) return std::optional<Bytes>();
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return std::optional<Bytes>(name);
  }
}

}  // namespace remsh
