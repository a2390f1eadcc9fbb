// mode_of: the permissions of a file.
#pragma once

#include <sys/stat.h>

#include <string>

namespace remsh::test {

/// The permissions of a file, of a symbolic link itself; 0 if there is no such file.
inline mode_t mode_of(const std::string& path) {
  struct stat what {};
  return ::lstat(path.c_str(), &what) == 0 ? what.st_mode & 07777U : 0;
}

}  // namespace remsh::test
