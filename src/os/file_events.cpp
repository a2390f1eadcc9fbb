#include "os/file_events.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

namespace remsh {

FileEvents::FileEvents() : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {}

int FileEvents::watch_file(int descriptor) { return add(descriptor, IN_MODIFY); }

int FileEvents::watch_directory(int descriptor) { return add(descriptor, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR); }

/// The descriptor in /proc stands for what is open, whatever its name is now: no path is resolved again.
int FileEvents::add(int descriptor, unsigned mask) {
  if (!fd_ || descriptor < 0) return -1;
  return ::inotify_add_watch(fd_.get(), ("/proc/self/fd/" + std::to_string(descriptor)).c_str(), mask);
}

void FileEvents::forget(int watch) noexcept {
  if (fd_ && watch >= 0) ::inotify_rm_watch(fd_.get(), watch);
}

void FileEvents::read(const std::function<void(int, std::string_view)>& take) {
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t count = fd_ ? ::read(fd_.get(), buffer.data(), buffer.size()) : 0;
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    for (std::size_t at = 0; at < static_cast<std::size_t>(count);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const name = buffer.data() + at + sizeof event;
      take(event.wd, std::string_view(name, ::strnlen(name, event.len)));
      at += sizeof event + event.len;
    }
  }
}

}  // namespace remsh
