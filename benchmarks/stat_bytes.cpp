#include "stat_bytes.hpp"

#include "machine.hpp"

#include <remsh/connection/box_codec.hpp>

#include <sys/stat.h>

#include <cstdio>
#include <string>

namespace remsh::bench {

Bytes stat_request() {
  Bytes bytes;
  BoxWriter(bytes).field("_ask", "1a2b").field("_command", "stat").field("path", stat_path).end();
  return bytes;
}

Bytes stat_answer(std::string_view tag) {
  struct stat info {};
  if (::stat(stat_path, &info) != 0) fail(stat_path);
  char mode[16];
  std::snprintf(mode, sizeof mode, "%o", static_cast<unsigned>(info.st_mode & 07777U));
  Bytes bytes;
  BoxWriter(bytes)
      .field("_answer", tag)
      .field("mode", mode)
      .field("mtime", std::to_string(info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec))
      .field("size", std::to_string(info.st_size))
      .field("type", "directory")
      .end();
  return bytes;
}

}  // namespace remsh::bench
