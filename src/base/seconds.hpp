// Durations in messages: "20 s", "1.5 s", "0.02 s".
#pragma once

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <string>

namespace remsh {

/// In seconds, with as many decimals (up to milliseconds) as needed; negative durations become 0.
std::string in_seconds(Duration span);

/// Rounded: "47 s", "1.3 s" (below 10 s), "less than 0.1 s".
std::string in_rounded_seconds(std::chrono::milliseconds span);

/// The message for a caller whose deadline has passed.
std::string deadline_passed(TimePoint begun, TimePoint deadline);

}  // namespace remsh
