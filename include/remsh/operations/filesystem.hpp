// FileInfo, DirectoryEntry; options of stat, list, rename, copy.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

namespace remsh {

enum class FileType : std::uint8_t { file, directory, symlink, fifo, socket, character_device, block_device, unknown };

/// The name of a file type, as on the wire: "directory".
constexpr std::string_view to_string(FileType type) noexcept {
  switch (type) {
    case FileType::file: return "file";
    case FileType::directory: return "directory";
    case FileType::symlink: return "symlink";
    case FileType::fifo: return "fifo";
    case FileType::socket: return "socket";
    case FileType::character_device: return "character-device";
    case FileType::block_device: return "block-device";
    case FileType::unknown: break;
  }
  return "unknown";
}

/// The result of stat().
struct FileInfo {
  FileType type = FileType::unknown;
  std::uint64_t size = 0;  ///< in bytes; for a directory, whatever its system reports
  std::uint32_t mode = 0;  ///< permission bits, 07777
  std::chrono::sys_time<std::chrono::nanoseconds> mtime{};

  [[nodiscard]] bool is_file() const noexcept { return type == FileType::file; }
  [[nodiscard]] bool is_directory() const noexcept { return type == FileType::directory; }

  friend bool operator==(const FileInfo&, const FileInfo&) = default;
};

/// In words: "file, 1234 bytes, mode 0644".
inline std::string to_string(const FileInfo& info) {
  std::string mode = "0000";
  for (std::size_t digit = 0; digit < mode.size(); ++digit) {
    mode[mode.size() - 1 - digit] = static_cast<char>('0' + (info.mode >> (3 * digit) & 7U));
  }
  return std::string(to_string(info.type)) + ", " + std::to_string(info.size) + " bytes, mode " + mode;
}

struct StatOptions {
  bool follow = true;  ///< false: return information about a symbolic link itself
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

/// One entry of a directory.
struct DirectoryEntry {
  Bytes name = {};     ///< any bytes except '/' and NUL
  FileInfo info = {};  ///< of a symbolic link itself; `unknown` and 0 if the slave has no permission
  friend bool operator==(const DirectoryEntry&, const DirectoryEntry&) = default;
};

struct ListOptions {
  /// Called with each entry as it arrives, in the thread that made the call; the result is then empty. For directories
  /// that are too large for memory.
  std::function<void(const DirectoryEntry&)> each = {};
  std::size_t max_entries = 1'000'000;  ///< without `each`: more entries end the call with too_large
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

/// Options of rename() and copy().
struct PathOptions {
  bool overwrite = false;  ///< true: an existing destination is replaced, atomically
  bool durable = true;     ///< the new name, and the content of a copy, are on the disk when the call returns
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

}  // namespace remsh
