// Pace, with a moved clock.
#include "master/pace.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace remsh {
namespace {

using namespace std::chrono_literals;
using remsh::test::begin_time;

}  // namespace

TEST_CASE("a name has its burst at once, and then one in each interval; others are not touched") {
  Pace pace({.burst = 3, .interval = 100ms});
  for (int i = 0; i < 3; ++i) CHECK(pace.ask("w1", begin_time).wait == 0ms);
  CHECK(pace.ask("w1", begin_time).wait == 100ms);
  CHECK(pace.ask("w1", begin_time + 40ms).wait == 60ms);
  CHECK(pace.ask("w2", begin_time + 40ms).wait == 0ms);
  const auto later = pace.ask("w1", begin_time + 100ms);
  CHECK(later.wait == 0ms);
  CHECK(later.left_out == 2);
  CHECK(pace.ask("w1", begin_time + 100ms).wait == 100ms);
  CHECK(pace.ask("w1", begin_time + 1h).left_out == 1);
  for (int i = 0; i < 2; ++i) CHECK(pace.ask("w1", begin_time + 1h).wait == 0ms);
  CHECK(pace.ask("w1", begin_time + 1h).wait == 100ms);
}

TEST_CASE("names that were quiet for long enough cost nothing") {
  Pace pace({.burst = 2, .interval = 100ms});
  for (int second = 0; second < 100; ++second) {
    for (int i = 0; i < 100; ++i) {
      pace.ask("w" + std::to_string(second) + "-" + std::to_string(i), begin_time + std::chrono::seconds(second));
    }
  }
  CHECK(pace.size() <= 300);
}

}  // namespace remsh
