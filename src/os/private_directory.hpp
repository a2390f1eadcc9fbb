// PrivateDirectory: a temporary directory that only this user can enter.
#pragma once

#include "base/os_words.hpp"
#include "base/result.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace remsh {

/// A new directory below the one for temporary files, which only this user can enter. Removed with this object if it is
/// empty then. One thread at a time.
class PrivateDirectory {
 public:
  PrivateDirectory() = default;
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  ~PrivateDirectory() { remove(); }

  Result<void> make() {
    std::error_code error;
    std::string name = std::filesystem::temp_directory_path(error).string();
    if (error) name = "/tmp";
    name += "/remsh-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) {
      const int number = errno;
      return Failure{Errc::local_os_error, "make the directory " + name + ": " + os_words(number), number};
    }
    path_ = name;
    return {};
  }

  void remove() noexcept {
    if (!path_.empty()) ::rmdir(path_.c_str());
    path_.clear();
  }

  /// Empty if it is not made.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace remsh
