// Which names have been absent for too long.
#include "master/absences.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::begin_time;

TEST_CASE("an absence is due once, when it has lasted for the time") {
  Absences absences(10s);
  CHECK_FALSE(absences.next_due());
  absences.begin("a", begin_time);
  absences.begin("b", begin_time + 3s);
  absences.begin("a", begin_time + 4s);  // it is absent already
  CHECK(absences.next_due() == begin_time + 10s);
  CHECK_FALSE(absences.take_due(begin_time + 10s - 1ns));
  CHECK(absences.take_due(begin_time + 10s) == "a");
  CHECK_FALSE(absences.take_due(begin_time + 10s));
  CHECK(absences.next_due() == begin_time + 13s);
  absences.begin("a", begin_time + 11s);  // it still is
  CHECK(absences.take_due(begin_time + 1h) == "b");
  CHECK_FALSE(absences.take_due(begin_time + 1h));
  CHECK_FALSE(absences.next_due());
}

TEST_CASE("an absence that has ended is not due, and the next one of the name is") {
  Absences absences(10s);
  absences.begin("a", begin_time);
  absences.end("a");
  absences.end("nobody");
  CHECK_FALSE(absences.next_due());
  absences.begin("a", begin_time + 5s);
  CHECK_FALSE(absences.take_due(begin_time + 14s));
  CHECK(absences.take_due(begin_time + 15s) == "a");
  absences.end("a");
  absences.begin("a", begin_time + 20s);
  CHECK(absences.take_due(begin_time + 30s) == "a");
}

TEST_CASE("names that are not expected any more are not absent") {
  Absences absences(10s);
  for (const char* name : {"a", "b", "c"}) absences.begin(name, begin_time);
  CHECK(absences.take_due(begin_time + 10s) == "a");
  absences.keep_only({"a", "c", "d"});
  CHECK(absences.take_due(begin_time + 10s) == "c");
  CHECK_FALSE(absences.take_due(begin_time + 10s));
  absences.keep_only({});
  absences.begin("a", begin_time + 20s);
  CHECK(absences.take_due(begin_time + 30s) == "a");
}

TEST_CASE("a time without end never comes") {
  Absences absences(Duration::max());
  absences.begin("a", begin_time);
  CHECK_FALSE(absences.take_due(begin_time + 24h));
  CHECK(absences.next_due() == TimePoint::max());
}
