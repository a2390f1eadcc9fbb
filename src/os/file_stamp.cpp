#include "os/file_stamp.hpp"

#include <algorithm>

namespace remsh {

namespace {

using namespace std::chrono_literals;
using WallTime = std::chrono::system_clock::time_point;

/// The time since a moment in nanoseconds since 1970; negative if the moment is in the future.
std::chrono::nanoseconds age(std::int64_t moment, WallTime now) noexcept {
  return now.time_since_epoch() - std::chrono::nanoseconds(moment);
}

}  // namespace

FileStamp stamp_of(const struct stat& what) noexcept {
  const timespec& modified = what.st_mtim;
  const timespec& changed = what.st_ctim;
  constexpr std::int64_t second = 1'000'000'000;
  return {what.st_dev, what.st_ino, what.st_size, modified.tv_sec * second + modified.tv_nsec,
          changed.tv_sec * second + changed.tv_nsec};
}

bool may_be_unfinished(const FileStamp& stamp, WallTime now) noexcept {
  const auto old = age(stamp.modified, now);
  return old >= 0ns && old < 100ms;
}

bool is_settled(const FileStamp& stamp, WallTime now) noexcept {
  return age(std::max(stamp.modified, stamp.changed), now) >= 2s;
}

}  // namespace remsh
