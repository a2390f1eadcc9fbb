#include "base/seconds.hpp"

#include "base/format.hpp"

#include <algorithm>

namespace remsh {

std::string in_seconds(Duration span) {
  const auto all = std::max<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(span).count(), 0);
  return formatted("{} s", static_cast<double>(all) / 1000);
}

std::string in_rounded_seconds(std::chrono::milliseconds span) {
  if (span.count() < 100) return "less than 0.1 s";
  const auto tenths = (span.count() + 50) / 100;
  if (tenths >= 100) return formatted("{} s", (span.count() + 500) / 1000);
  return formatted("{} s", static_cast<double>(tenths) / 10);
}

std::string deadline_passed(TimePoint begun, TimePoint deadline) {
  if (deadline <= begun) return "the deadline that the caller gave had passed before it began";
  return formatted("it was not done within the {} of the caller's deadline", in_seconds(deadline - begun));
}

}  // namespace remsh
