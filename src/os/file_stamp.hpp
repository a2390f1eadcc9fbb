// FileStamp: by what a changed file is told from an unchanged one.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>

namespace remsh {

/// By what a changed file is told from an unchanged one.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t modified = 0;  ///< ns since 1970
  std::int64_t changed = 0;   ///< ns since 1970, its mode and name too

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

FileStamp stamp_of(const struct stat& what) noexcept;

/// It was written so shortly before that it may not be complete yet, where that is done in place.
bool may_be_unfinished(const FileStamp& stamp, std::chrono::system_clock::time_point now) noexcept;

/// Whatever is written to it from now on changes its stamp. Not so at once: for a while the clock of a file system may
/// stand still, and two changes within it can have one stamp.
bool is_settled(const FileStamp& stamp, std::chrono::system_clock::time_point now) noexcept;

}  // namespace remsh
