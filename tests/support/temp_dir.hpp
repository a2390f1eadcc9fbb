// TempDir: a directory of a test's own, removed with everything in it.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace remsh::test {

/// Makes an empty directory below the system's directory for temporary files. One thread at a time.
///
///     TempDir dir;
///     dir.write("a", "text");
///     CHECK(dir.read("a") == "text");
class TempDir {
 public:
  explicit TempDir(const std::filesystem::path& above = std::filesystem::temp_directory_path()) {
    path_ = (above / "remsh-test-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// The absolute path of an entry.
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(*this / name, std::ios::binary) << content;
  }

  /// The content of a file; empty if there is none.
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(*this / name, std::ios::binary).rdbuf();  // with iterators it would be byte for byte
    return text.str();
  }

  /// Whether an entry exists, even if it is a symbolic link that leads nowhere.
  [[nodiscard]] bool has(const std::string& name) const {
    struct stat what {};
    return ::lstat((*this / name).c_str(), &what) == 0;
  }

  /// How many entries it has, including hidden ones.
  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

}  // namespace remsh::test
