// file_info_of: a result of stat(2) as FileInfo. timespec_of: a time of FileInfo for the system.
#pragma once

#include <remsh/operations/filesystem.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace remsh {

inline FileType file_type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return FileType::file;
    case S_IFDIR: return FileType::directory;
    case S_IFLNK: return FileType::symlink;
    case S_IFIFO: return FileType::fifo;
    case S_IFSOCK: return FileType::socket;
    case S_IFCHR: return FileType::character_device;
    case S_IFBLK: return FileType::block_device;
    default: return FileType::unknown;
  }
}

inline FileInfo file_info_of(const struct stat& status) {
  // A file system may have a time that 64 bits of nanoseconds cannot hold: 292 years before or after 1970.
  constexpr std::int64_t limit = INT64_MAX / 1'000'000'000 - 1;
  const std::int64_t seconds = std::clamp<std::int64_t>(status.st_mtim.tv_sec, -limit, limit);
  FileInfo info;
  info.type = file_type_of(status.st_mode);
  info.size = static_cast<std::uint64_t>(status.st_size);
  info.mode = status.st_mode & 07777;
  info.mtime = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::seconds(seconds) +
                                                               std::chrono::nanoseconds(status.st_mtim.tv_nsec));
  return info;
}

inline timespec timespec_of(std::chrono::sys_time<std::chrono::nanoseconds> time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  timespec result{};
  result.tv_sec = static_cast<time_t>(seconds.time_since_epoch().count());
  result.tv_nsec = static_cast<long>((time - seconds).count());
  return result;
}

}  // namespace remsh
