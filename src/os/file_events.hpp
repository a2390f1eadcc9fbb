// FileEvents: tells when something is written to files, or gets a name in a directory.
#pragma once

#include "os/unique_fd.hpp"

#include <functional>
#include <string_view>

namespace remsh {

/// Events of files and directories (inotify). The system may have none left to give, and says nothing of what another
/// host does on a network file system: look regularly, too. One thread at a time.
class FileEvents {
 public:
  FileEvents();

  /// For poll(), readable if there are events; -1 if there will be none.
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }

  // Each returns the number of the watch, the same one for the same file or directory; -1 if it cannot be watched.

  /// Watches an open file, of whatever name, until it is gone or forget() is called.
  int watch_file(int descriptor);
  /// Watches the names in a directory. The descriptor may be one for resolving names.
  int watch_directory(int descriptor);

  void forget(int watch) noexcept;

  /// Calls `take` for each event: the watch, and in a directory the name. Watch -1: events were lost.
  void read(const std::function<void(int watch, std::string_view name)>& take);

 private:
  int add(int descriptor, unsigned mask);

  UniqueFd fd_;
};

}  // namespace remsh
