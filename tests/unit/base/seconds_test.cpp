// Spans of time in sentences.
#include "base/seconds.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace std::chrono_literals;

namespace remsh {

TEST_CASE("a span of time is told in seconds, with as many digits as it has") {
  CHECK(in_seconds(0s) == "0 s");
  CHECK(in_seconds(20s) == "20 s");
  CHECK(in_seconds(1500ms) == "1.5 s");
  CHECK(in_seconds(20041ms) == "20.041 s");
  CHECK(in_seconds(5ms) == "0.005 s");
  CHECK(in_seconds(100ms) == "0.1 s");
  CHECK(in_seconds(900us) == "0 s");
  CHECK(in_seconds(-3s) == "0 s");
  CHECK(in_seconds(48h) == "172800 s");
}

}  // namespace remsh
