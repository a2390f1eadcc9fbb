// later: a time at which files have settled.
#pragma once

#include <chrono>

namespace remsh::test {

/// A time at which what is written now has settled long ago.
inline std::chrono::system_clock::time_point later() {
  return std::chrono::system_clock::now() + std::chrono::hours(1);
}

}  // namespace remsh::test
