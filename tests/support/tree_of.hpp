// What a directory tree contains, for comparison.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace remsh::test {

/// The entries below a directory, by their relative path: type, mode, time, and content or target. The directory itself
/// is ".". Missing: empty.
inline std::map<std::string, std::string> tree_of(const std::string& directory) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> all;
  const auto describe = [&](const std::string& path) {
    struct stat what {};
    if (::lstat((directory + "/" + path).c_str(), &what) != 0) return;
    std::string text;
    if (S_ISLNK(what.st_mode)) {
      text = "-> " + fs::read_symlink(directory + "/" + path).string();
    } else if (S_ISDIR(what.st_mode)) {
      text = "directory " + std::to_string(what.st_mode & 07777);
    } else if (S_ISREG(what.st_mode)) {
      std::ifstream file(directory + "/" + path, std::ios::binary);
      text = "file " + std::to_string(what.st_mode & 07777) + " " +
             std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    } else {
      text = "special";
    }
    text += " at " + std::to_string(what.st_mtim.tv_sec) + "." + std::to_string(what.st_mtim.tv_nsec);
    all[path] = text;
  };
  if (!fs::is_directory(directory)) return all;
  describe(".");
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    describe(entry.path().string().substr(directory.size() + 1));
  }
  return all;
}

/// Makes a tree with some of everything that a tree can contain: 4 files, 3 directories below the top, 2 links.
inline void make_sample_tree(const std::string& top) {
  namespace fs = std::filesystem;
  const auto write = [&](const std::string& path, const std::string& content, int mode) {
    std::ofstream(top + "/" + path, std::ios::binary) << content;
    ::chmod((top + "/" + path).c_str(), static_cast<mode_t>(mode));
  };
  fs::create_directories(top + "/src/deep");
  fs::create_directory(top + "/empty");
  write("run.sh", "#!/bin/sh\n", 0755);
  write("src/a \n\xff.c", "int a;\n", 0640);
  write("src/deep/large", std::string(300'000, 'l') + "end", 0600);
  write("src/nothing", "", 0444);
  fs::create_symlink("src/deep", top + "/link");
  fs::create_symlink("/nowhere/at all", top + "/src/dangling");
  const auto set_time = [&](const std::string& path, time_t seconds, long nanoseconds) {
    const timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    ::utimensat(AT_FDCWD, (top + "/" + path).c_str(), times, AT_SYMLINK_NOFOLLOW);
  };
  set_time("run.sh", 1'000'000'000, 123'456'789);
  set_time("src/nothing", -5, 500'000'000);  // before 1970
  set_time("src/dangling", 12345, 0);
  ::chmod((top + "/src/deep").c_str(), 0555);
  set_time("src/deep", 99, 1);
  ::chmod((top + "/empty").c_str(), 0711);
  set_time("src", 1'500'000'000, 0);
  set_time(".", 1'600'000'000, 7);
}

}  // namespace remsh::test
