// A span of time for sentences: "20 s", "1.5 s", "0.02 s".
#pragma once

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <string>

namespace remsh {

/// In seconds, with milliseconds only as far as there are any; negative ones are 0.
std::string in_seconds(Duration span);

/// Roughly: "47 s", "1.3 s" (below 10 s), "less than 0.1 s".
std::string in_rounded_seconds(std::chrono::milliseconds span);

/// What a caller hears whose deadline has passed.
std::string deadline_passed(TimePoint begun, TimePoint deadline);

}  // namespace remsh
