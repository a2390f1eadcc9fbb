// RetryLog: the log lines for a slave's successive attempts to serve its master; pure state.
#pragma once

#include <remsh/base/log.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace remsh {

/// A cause is logged in full the first time. While the same cause repeats, the log says how often it has occurred,
/// after 2, 4, 8, ... times; the lines in between have the level `debug`. Pauses are in seconds. One thread at a time.
class RetryLog {
 public:
  struct Line {
    LogLevel level;
    std::string text;
  };

  Line next(const std::string& cause, std::chrono::milliseconds pause);

  /// The same, if there is no pause: `then` says what comes next.
  Line next(const std::string& cause, const std::string& then);

  /// The next cause is logged in full, whatever it is.
  void reset() { times_ = 0; }

 private:
  std::string cause_;
  std::uint64_t times_ = 0;
};

}  // namespace remsh
