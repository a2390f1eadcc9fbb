#include "slave/retry_log.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"

#include <bit>

namespace remsh {

RetryLog::Line RetryLog::next(const std::string& cause, std::chrono::milliseconds pause) {
  return next(cause, formatted("connecting again in {}", in_rounded_seconds(pause)));
}

RetryLog::Line RetryLog::next(const std::string& cause, const std::string& then) {
  if (times_ == 0 || cause != cause_) {
    cause_ = cause;
    times_ = 1;
    return {LogLevel::warning, formatted("{}; {}", cause, then)};
  }
  ++times_;
  return {std::has_single_bit(times_) ? LogLevel::warning : LogLevel::debug,
          formatted("the same as before, {} times now; {}", times_, then)};
}

}  // namespace remsh
