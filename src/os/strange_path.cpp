#include "os/strange_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace remsh {

namespace {

Bytes current_directory() {
  const std::unique_ptr<char, void (*)(void*)> name(::getcwd(nullptr, 0), std::free);
  return name ? Bytes(name.get()) : Bytes();
}

}  // namespace

std::optional<StrangePart> find_strange_part(const Bytes& path) {
  const Bytes whole = path.starts_with('/') ? path : current_directory() + "/" + path;
  struct stat above {};
  if (::stat("/", &above) != 0) return std::nullopt;
  for (std::size_t end = 0; end != Bytes::npos && end < whole.size();) {
    end = whole.find('/', whole.find_first_not_of('/', end));
    const Bytes part = whole.substr(0, end);
    struct stat entry {};
    if (::lstat(part.c_str(), &entry) != 0) return std::nullopt;
    const bool anybody_can_make_it = (above.st_mode & S_IWOTH) != 0;
    if (anybody_can_make_it && entry.st_uid != ::geteuid() && entry.st_uid != 0) {
      return StrangePart{part, entry.st_uid};
    }
    if (::stat(part.c_str(), &above) != 0) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace remsh
