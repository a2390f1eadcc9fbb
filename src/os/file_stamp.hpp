// FileStamp: shows whether a file has changed.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>

namespace remsh {

/// Shows whether a file has changed: an unchanged file has an equal stamp.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t modified = 0;  ///< ns since 1970
  std::int64_t changed = 0;   ///< ns since 1970; of its mode and name, too

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

FileStamp stamp_of(const struct stat& what) noexcept;

/// True if the file was written so recently that it may be incomplete, if it is written in place.
bool may_be_unfinished(const FileStamp& stamp, std::chrono::system_clock::time_point now) noexcept;

/// True if every later write changes the stamp. That is not so at first: the clock of a file system may stand still for
/// a while, and two changes within that time can have the same stamp.
bool is_settled(const FileStamp& stamp, std::chrono::system_clock::time_point now) noexcept;

}  // namespace remsh
