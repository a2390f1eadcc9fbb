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

/// What stat() tells of a path.
struct FileInfo {
  FileType type = FileType::unknown;
  std::uint64_t size = 0;  ///< bytes; of a directory whatever its system says
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
  bool follow = true;  ///< false: of a symbolic link itself
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

/// One entry of a directory.
struct DirectoryEntry {
  Bytes name = {};     ///< any bytes but '/' and zero
  FileInfo info = {};  ///< of a symbolic link itself; what the slave may not look at is unknown, and 0
  friend bool operator==(const DirectoryEntry&, const DirectoryEntry&) = default;
};

struct ListOptions {
  /// Called with each entry as it comes, in the thread that made the call; the result is empty then. For directories
  /// that are too large to be held.
  std::function<void(const DirectoryEntry&)> each = {};
  std::size_t max_entries = 1'000'000;  ///< without `each`: more end the call with too_large
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

/// Options of rename() and copy().
struct PathOptions {
  bool overwrite = false;  ///< true: what is at the destination is replaced, atomically
  bool durable = true;     ///< the new name, and the content of a copy, is on the disk when the call returns
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

}  // namespace remsh
