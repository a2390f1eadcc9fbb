// Durations as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace remsh {

/// "47 s", "1.3 s" (below 10 s), "less than 0.1 s".
inline std::string in_seconds(std::chrono::milliseconds duration) {
  const std::int64_t tenths = (duration.count() + 50) / 100;
  if (duration.count() < 100) return "less than 0.1 s";
  if (tenths >= 100) return std::to_string((duration.count() + 500) / 1000) + " s";
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) + " s";
}

}  // namespace remsh
