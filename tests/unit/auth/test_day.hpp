// test_day: when tests of keys take place.
#pragma once

#include "base/utc_time.hpp"

#include <chrono>

namespace remsh::test {

inline const std::chrono::system_clock::time_point test_day = *parse_utc_time("2026-11-21T08:00:00Z");

}  // namespace remsh::test
