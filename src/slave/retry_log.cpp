#include "slave/retry_log.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"

#include <bit>

namespace remsh {

RetryLog::Line RetryLog::next(const std::string& cause, std::chrono::milliseconds pause) {
  const std::string then = formatted("; connecting again in {}", in_rounded_seconds(pause));
  if (times_ == 0 || cause != cause_) {
    cause_ = cause;
    times_ = 1;
    return {LogLevel::warning, cause + then};
  }
  ++times_;
  return {std::has_single_bit(times_) ? LogLevel::warning : LogLevel::debug,
          formatted("the same as before, {} times now{}", times_, then)};
}

}  // namespace remsh
