// begin_time: when a test begins whose times are only inputs.
#pragma once

#include "base/clock.hpp"

#include <chrono>

namespace remsh::test {

/// Not 0, where "never yet" would be "now".
inline constexpr TimePoint begin_time{std::chrono::hours(1000)};

}  // namespace remsh::test
