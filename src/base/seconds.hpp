// A span of time for sentences: "20 s", "1.5 s", "0.02 s".
#pragma once

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace remsh {

/// In seconds, with milliseconds only as far as there are any; negative ones are 0.
inline std::string in_seconds(Duration span) {
  const auto all = std::max<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(span).count(), 0);
  std::string text = std::to_string(all / 1000);
  if (all % 1000 != 0) {
    std::string part = std::to_string(1000 + all % 1000);
    part[0] = '.';
    part.erase(part.find_last_not_of('0') + 1);
    text += part;
  }
  return text + " s";
}

/// What a caller hears whose deadline has passed.
inline std::string deadline_passed(TimePoint begun, TimePoint deadline) {
  if (deadline <= begun) return "the deadline that the caller gave had passed before it began";
  return "it was not done within the " + in_seconds(deadline - begun) + " of the caller's deadline";
}

}  // namespace remsh
