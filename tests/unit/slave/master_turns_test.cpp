// Which of several masters a slave tries next, with a clock that the test moves.
#include "slave/master_turns.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using Pause = MasterTurns::Pause;

/// The masters that a round tries, if each visit fails. Does not end the round.
std::vector<std::size_t> failed_round(MasterTurns& turns, TimePoint now) {
  std::vector<std::size_t> tried;
  while (const auto master = turns.next(now)) {
    tried.push_back(*master);
    turns.tried(*master, Visit::failed, Pause(0), now);
  }
  return tried;
}

using Tried = std::vector<std::size_t>;

}  // namespace

TEST_CASE("a round tries each master once, in order, and counts as one failure") {
  MasterTurns turns(3);
  for (int round = 0; round < 3; ++round) {
    CHECK(failed_round(turns, begin_time) == Tried{0, 1, 2});
    const auto end = turns.end_round(begin_time);
    CHECK(end.visit == Visit::failed);
    CHECK(end.asked == 0ms);
  }
}

TEST_CASE("a round ends with a master that was of use, and the next one begins with the first") {
  for (const Visit use : {Visit::brief, Visit::lasting}) {
    MasterTurns turns(3);
    turns.tried(0, Visit::failed, Pause(0), begin_time);
    REQUIRE(turns.next(begin_time) == 1);
    turns.tried(1, use, Pause(0), begin_time);
    CHECK_FALSE(turns.next(begin_time));
    CHECK(turns.end_round(begin_time).visit == use);
    CHECK(turns.next(begin_time) == 0);
  }
}

TEST_CASE("one master that turns the slave away makes the round one of that kind") {
  MasterTurns turns(3);
  turns.tried(0, Visit::failed, Pause(0), begin_time);
  turns.tried(1, Visit::turned_away, Pause(0), begin_time);
  turns.tried(2, Visit::failed, Pause(0), begin_time);
  CHECK(turns.end_round(begin_time).visit == Visit::turned_away);
  CHECK(failed_round(turns, begin_time) == Tried{0, 1, 2});
  CHECK(turns.end_round(begin_time).visit == Visit::failed);
}

TEST_CASE("a master that asked for a pause is left out until then") {
  MasterTurns turns(2);
  turns.tried(0, Visit::turned_away, 60s, begin_time);
  turns.tried(1, Visit::failed, Pause(0), begin_time);
  CHECK(turns.end_round(begin_time).asked == 0ms);
  CHECK(failed_round(turns, begin_time + 59s) == Tried{1});
  CHECK(turns.end_round(begin_time + 59s).asked == 0ms);
  CHECK(failed_round(turns, begin_time + 60s) == Tried{0, 1});
}

TEST_CASE("if all masters asked for a pause, the next round begins with the end of the first of them") {
  MasterTurns turns(2);
  turns.tried(0, Visit::turned_away, 60s, begin_time);
  turns.tried(1, Visit::turned_away, 20s, begin_time);
  CHECK(turns.end_round(begin_time).asked == 20s);
  CHECK_FALSE(turns.next(begin_time + 19s));
  CHECK(failed_round(turns, begin_time + 20s) == Tried{1});
  turns.end_round(begin_time + 20s);
  turns.tried(1, Visit::turned_away, 1h, begin_time + 20s);
  turns.forget_waits();
  turns.end_round(begin_time + 21s);
  CHECK(turns.next(begin_time + 21s) == 0);
}

TEST_CASE("a single master is never left out: its pause is that between the rounds") {
  MasterTurns turns(1);
  turns.tried(0, Visit::turned_away, 60s, begin_time);
  CHECK(turns.end_round(begin_time).asked == 60s);
  CHECK(turns.next(begin_time) == 0);
  turns.tried(0, Visit::turned_away, 24h * 365, begin_time);
  CHECK(turns.end_round(begin_time).asked == BackOff::max_retry);
}

}  // namespace remsh::test
