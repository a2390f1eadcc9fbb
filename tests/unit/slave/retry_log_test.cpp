// Tests of what a slave logs when one attempt after the other fails.
#include "base/seconds.hpp"
#include "slave/retry_log.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a cause that stays the same is told in full once, and then how often it has come, less and less often") {
  RetryLog log;
  std::vector<std::string> told;
  for (int i = 0; i < 1000; ++i) {
    const RetryLog::Line line = log.next("a long story", 1300ms);
    if (line.level >= LogLevel::info) told.push_back(line.text);
  }
  REQUIRE(told.size() == 10);
  CHECK(told[0] == "a long story; connecting again in 1.3 s");
  CHECK(told[1] == "the same as before, 2 times now; connecting again in 1.3 s");
  CHECK(told[9] == "the same as before, 512 times now; connecting again in 1.3 s");
}

TEST_CASE("another cause is told in full, and so is the same one after a success") {
  RetryLog log;
  static_cast<void>(log.next("one", 1s));
  static_cast<void>(log.next("one", 1s));
  CHECK(log.next("two", 1s).text == "two; connecting again in 1 s");
  log.reset();
  CHECK(log.next("two", 1s).text == "two; connecting again in 1 s");
}

TEST_CASE("pauses are told in seconds") {
  CHECK(in_rounded_seconds(47'177ms) == "47 s");
  CHECK(in_rounded_seconds(59'500ms) == "60 s");
  CHECK(in_rounded_seconds(9'949ms) == "9.9 s");
  CHECK(in_rounded_seconds(9'950ms) == "10 s");
  CHECK(in_rounded_seconds(2'000ms) == "2 s");
  CHECK(in_rounded_seconds(149ms) == "0.1 s");
  CHECK(in_rounded_seconds(99ms) == "less than 0.1 s");
  CHECK(in_rounded_seconds(0ms) == "less than 0.1 s");
}

}  // namespace
}  // namespace remsh
