// When a slave ends by itself, with a clock that the test moves.
#include "slave/leave_rules.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using Why = LeaveRules::Why;
using Work = LeaveRules::Work;

constexpr Work never_worked{};
constexpr Work works{.is_busy = true};
constexpr TimePoint no_time = TimePoint::max();

Work worked_until(TimePoint end) { return {.last_end = end}; }

}  // namespace

TEST_CASE("without limits a slave never ends by itself") {
  const LeaveRules rules({}, begin_time);
  CHECK_FALSE(rules.are_any());
  CHECK_FALSE(rules.due(begin_time + 10000h, never_worked));
  CHECK(rules.next_look(begin_time, never_worked) == no_time);
}

TEST_CASE("a slave without work ends after its idle time, which begins again with the end of each operation") {
  const LeaveRules rules({.idle = 10min}, begin_time);
  CHECK(rules.next_look(begin_time, never_worked) == begin_time + 10min);
  CHECK_FALSE(rules.due(begin_time + 10min - 1ns, never_worked));
  CHECK(rules.due(begin_time + 10min, never_worked) == Why::idle);
  CHECK_FALSE(rules.due(begin_time + 10h, works));
  CHECK(rules.next_look(begin_time + 10h, works) == begin_time + 10h + 10min);
  const Work since = worked_until(begin_time + 10h + 3min);
  CHECK_FALSE(rules.due(begin_time + 10h + 10min, since));
  CHECK(rules.next_look(begin_time + 10h + 10min, since) == begin_time + 10h + 13min);
  CHECK(rules.due(begin_time + 10h + 13min, since) == Why::idle);
}

TEST_CASE("work that ended before the slave was started does not count") {
  const LeaveRules rules({.idle = 10min}, begin_time);
  CHECK_FALSE(rules.due(begin_time + 9min, worked_until(begin_time - 1h)));
}

TEST_CASE("after its lifetime a slave ends as soon as no operation runs") {
  const LeaveRules rules({.lifetime = 1h}, begin_time);
  CHECK(rules.next_look(begin_time, works) == begin_time + 1h);
  CHECK_FALSE(rules.due(begin_time + 1h - 1ns, never_worked));
  CHECK(rules.due(begin_time + 1h, never_worked) == Why::lifetime);
  CHECK_FALSE(rules.due(begin_time + 5h, works));
  CHECK(rules.next_look(begin_time + 5h, works) == begin_time + 5h + LeaveRules::busy_look);
  CHECK(rules.due(begin_time + 5h, worked_until(begin_time + 5h)) == Why::lifetime);
}

TEST_CASE("a slave that no master accepts gives up, whether or not it works for one that is gone") {
  LeaveRules rules({.no_master = 5min}, begin_time);
  CHECK(rules.next_look(begin_time, never_worked) == begin_time + 5min);
  CHECK_FALSE(rules.due(begin_time + 5min - 1ns, never_worked));
  CHECK(rules.due(begin_time + 5min, works) == Why::no_master);
  rules.admitted();
  CHECK(rules.next_look(begin_time + 1h, never_worked) == no_time);
  CHECK_FALSE(rules.due(begin_time + 1h, never_worked));
  rules.admitted();  // another connection
  rules.gone(begin_time + 2h);
  CHECK_FALSE(rules.due(begin_time + 3h, never_worked));
  rules.gone(begin_time + 3h);
  CHECK(rules.next_look(begin_time + 3h, never_worked) == begin_time + 3h + 5min);
  CHECK(rules.due(begin_time + 3h + 5min, never_worked) == Why::no_master);
}

TEST_CASE("the first of several limits counts, and a huge one is never reached") {
  const LeaveRules rules({.idle = 1h, .lifetime = 30min, .no_master = Duration::max()}, begin_time);
  CHECK(rules.next_look(begin_time, never_worked) == begin_time + 30min);
  CHECK(rules.due(begin_time + 30min, never_worked) == Why::lifetime);
  CHECK(rules.due(begin_time + 10h, never_worked) == Why::idle);
}

}  // namespace remsh::test
