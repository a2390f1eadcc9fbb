// time_left(): how long a wait in the operating system may last.
#pragma once

#include "base/clock.hpp"

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <chrono>

namespace remsh {

/// The time until the deadline; an hour if there is none or it is later.
inline Duration time_left(Deadline deadline) {
  constexpr Duration long_time = std::chrono::hours(1);
  if (deadline.is_never()) return long_time;
  const TimePoint now = real_clock().now();
  return deadline.has_passed(now) ? Duration::zero() : std::min(long_time, deadline.at() - now);
}

}  // namespace remsh
