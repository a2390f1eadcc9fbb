// RetryLog: what a slave logs when its attempts to serve its master end, one after the other; pure state.
#pragma once

#include "base/seconds.hpp"

#include <remsh/base/log.hpp>

#include <bit>
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

  Line next(const std::string& cause, std::chrono::milliseconds pause) {
    const std::string then = "; connecting again in " + in_rounded_seconds(pause);
    if (times_ == 0 || cause != cause_) {
      cause_ = cause;
      times_ = 1;
      return {LogLevel::warning, cause + then};
    }
    ++times_;
    return {std::has_single_bit(times_) ? LogLevel::warning : LogLevel::debug,
            "the same as before, " + std::to_string(times_) + " times now" + then};
  }

  /// The next cause is logged in full, whatever it is.
  void reset() { times_ = 0; }

 private:
  std::string cause_;
  std::uint64_t times_ = 0;
};

}  // namespace remsh
