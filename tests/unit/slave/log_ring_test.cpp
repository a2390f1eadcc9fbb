#include "slave/log_ring.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

using namespace remsh;

TEST_CASE("the ring of a log has the last lines, the oldest of them first, and passes all on") {
  const auto ring = std::make_shared<LogRing>();
  std::vector<std::string> passed;
  const LogHook hook = LogRing::hook(ring, [&](const LogRecord& record) { passed.push_back(record.message); });
  CHECK(ring->last(10).empty());
  for (const char* message : {"one", "two", "three"}) hook({LogLevel::info, "slave", "m:1", message});
  hook({LogLevel::debug, "slave", "", "four"});
  hook({LogLevel::error, "slave", "", "five"});
  CHECK(passed == std::vector<std::string>{"one", "two", "three", "four", "five"});
  const auto last = ring->last(2);
  REQUIRE(last.size() == 2);
  CHECK(last[0].ends_with(" info slave: m:1: three"));
  CHECK(last[1].ends_with(" error slave: five"));
  CHECK(last[1].starts_with("20"));
  CHECK(ring->last(SIZE_MAX).size() == 4);
  CHECK(ring->last(0).empty());

  LogRing::hook(ring, {})({LogLevel::warning, "slave", "", "six"});
  CHECK(ring->last(1).at(0).ends_with("six"));
}

TEST_CASE("the ring of a log has bounds for its lines, for their bytes, and for one line") {
  LogRing many;
  for (int i = 0; i < 3000; ++i) many.add({LogLevel::info, "slave", "", std::to_string(i)});
  const auto lines = many.last(SIZE_MAX);
  CHECK(lines.size() == LogRing::most_lines);
  CHECK(lines.front().ends_with(": 2000"));
  CHECK(lines.back().ends_with(": 2999"));

  LogRing long_lines;
  for (int i = 0; i < 100; ++i) long_lines.add({LogLevel::info, "slave", "", std::string(100'000, 'x')});
  std::size_t bytes = 0;
  for (const std::string& line : long_lines.last(SIZE_MAX)) {
    CHECK(line.size() == LogRing::longest_line);
    bytes += line.size();
  }
  CHECK(bytes <= LogRing::most_bytes);
  CHECK(bytes > LogRing::most_bytes - LogRing::longest_line);
}
