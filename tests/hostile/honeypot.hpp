// Honeypot: files that are nobody's to touch.
#pragma once

#include "support/temp_dir.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>

namespace remsh::test {

/// A directory with two files, which are as they were or not. One thread at a time; the directory outlives it.
class Honeypot {
 public:
  static constexpr const char* content = "nobody reads this";

  explicit Honeypot(const TempDir& dir) : dir_(dir) {
    std::filesystem::create_directory(dir_ / "honeypot");
    for (const char* name : {"key", "list"}) dir_.write(std::string("honeypot/") + name, content);
    before_ = look();
  }

  [[nodiscard]] std::string path(const std::string& name) const { return dir_ / ("honeypot/" + name); }
  [[nodiscard]] bool is_untouched() const { return look() == before_; }

 private:
  [[nodiscard]] std::map<std::string, std::string> look() const {
    std::map<std::string, std::string> seen;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_ / "honeypot")) {
      struct stat what {};
      ::lstat(entry.path().c_str(), &what);
      const std::string name = entry.path().filename();
      seen[name] = std::to_string(what.st_ino) + " " + std::to_string(what.st_mode) + " " +
                   std::to_string(what.st_mtim.tv_nsec) + " " + dir_.read("honeypot/" + name);
    }
    return seen;
  }

  const TempDir& dir_;
  std::map<std::string, std::string> before_;
};

}  // namespace remsh::test
