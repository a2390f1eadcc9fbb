// Tests of the pauses before a slave connects again, with a clock that the test moves.
#include "slave/back_off.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace remsh {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;
using remsh::test::begin_time;

constexpr milliseconds unasked{0};
const TimePoint much_later = begin_time + 10h;

/// The greatest pause that comes next. Of the numbers up to the limit, the limit itself gives it.
milliseconds greatest(BackOff& back_off, Visit visit, TimePoint now) {
  milliseconds most{0};
  for (const unsigned limit : {1U, 2U, 4U, 8U, 500U, 1000U, 2000U, 4000U, 8000U, 16000U, 32000U, 60000U}) {
    BackOff copy = back_off;
    most = std::max(most, copy.next(visit, unasked, now, limit));
  }
  static_cast<void>(back_off.next(visit, unasked, now, 0));
  return most;
}

std::vector<milliseconds> limits_of(BackOff& back_off, Visit visit, TimePoint now, int count) {
  std::vector<milliseconds> limits;
  for (int i = 0; i < count; ++i) limits.push_back(greatest(back_off, visit, now));
  return limits;
}

using Limits = std::vector<milliseconds>;

TEST_CASE("a pause lies anywhere from nothing to its limit") {
  BackOff back_off(500ms, 500ms, begin_time);
  CHECK(back_off.next(Visit::failed, unasked, begin_time, 0) == 0ms);
  CHECK(back_off.next(Visit::failed, unasked, begin_time, 250) == 250ms);
  CHECK(back_off.next(Visit::failed, unasked, begin_time, 500) == 500ms);
  CHECK(back_off.next(Visit::failed, unasked, begin_time, 501) == 0ms);
  CHECK(back_off.next(Visit::failed, unasked, begin_time, UINT64_MAX) <= 500ms);
}

TEST_CASE("a master that is away for long is tried less and less often") {
  BackOff back_off(500ms, 60s, begin_time);
  CHECK(limits_of(back_off, Visit::failed, much_later, 9) == Limits{500ms, 1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s});
}

TEST_CASE("a master that was of use a moment ago is tried again soon, and less and less often after that") {
  BackOff back_off(500ms, 60s, begin_time - 10h);
  CHECK(greatest(back_off, Visit::lasting, begin_time) == 500ms);
  CHECK(limits_of(back_off, Visit::failed, begin_time + 1s, 4) == Limits{1s, 2s, 2s, 2s});
  CHECK(limits_of(back_off, Visit::failed, begin_time + BackOff::recent - 1ms, 2) == Limits{2s, 2s});
  CHECK(limits_of(back_off, Visit::failed, begin_time + BackOff::recent, 4) == Limits{2s, 4s, 8s, 16s});
}

TEST_CASE("a slave that has just been started looks for its master as for one that was there a moment ago") {
  BackOff back_off(500ms, 60s, begin_time);
  CHECK(limits_of(back_off, Visit::failed, begin_time + 4min, 5) == Limits{500ms, 1s, 2s, 2s, 2s});
}

TEST_CASE("a lasting visit takes the limit back to the first one") {
  BackOff back_off(500ms, 60s, begin_time);
  limits_of(back_off, Visit::failed, much_later, 8);
  CHECK(greatest(back_off, Visit::lasting, much_later) == 500ms);
  CHECK(greatest(back_off, Visit::failed, much_later) == 1s);
}

TEST_CASE("a slave that is let in only to be sent away comes less and less often") {
  BackOff back_off(500ms, 60s, begin_time);
  CHECK(limits_of(back_off, Visit::turned_away, begin_time + 1s, 8) == Limits{500ms, 1s, 2s, 4s, 8s, 16s, 32s, 60s});
}

TEST_CASE("brief visits bring no other limit than that of a master that was there a moment ago") {
  BackOff back_off(500ms, 60s, begin_time);
  CHECK(limits_of(back_off, Visit::brief, much_later, 4) == Limits{500ms, 1s, 2s, 2s});
  limits_of(back_off, Visit::turned_away, much_later, 6);
  CHECK(greatest(back_off, Visit::brief, much_later) == 2s);
}

TEST_CASE("the master's own wish counts, within an hour, with up to an eighth more") {
  BackOff back_off(500ms, 60s, begin_time);
  for (const Visit visit : {Visit::turned_away, Visit::lasting}) {
    CHECK(back_off.next(visit, 2000ms, begin_time, 0) == 2000ms);
    CHECK(back_off.next(visit, 2000ms, begin_time, 250) == 2250ms);
    CHECK(back_off.next(visit, 2000ms, begin_time, 251) == 2000ms);
    CHECK(back_off.next(visit, 1000h, begin_time, 0) == BackOff::max_retry);
  }
}

TEST_CASE("limits that make no sense are mended, and small ones hold for a master that was there recently too") {
  BackOff none(0ms, 8ms, begin_time);
  CHECK(limits_of(none, Visit::failed, begin_time, 5) == Limits{1ms, 2ms, 4ms, 8ms, 8ms});
  BackOff reversed(4000ms, 10ms, begin_time);
  CHECK(limits_of(reversed, Visit::failed, begin_time, 2) == Limits{4000ms, 4000ms});
}

TEST_CASE("a visit counts by how long it lasted and what it was good for") {
  using Reason = ServeResult::Reason;
  struct Case {
    Reason reason;
    std::optional<TimePoint> registered_at;
    bool has_served;
    Visit visit;
  };
  const TimePoint now = begin_time;
  const TimePoint soon = now - BackOff::lasting_after + 1ms;
  const TimePoint long_ago = now - BackOff::lasting_after;
  for (const Case& example : {
           Case{Reason::unreachable, std::nullopt, false, Visit::failed},
           Case{Reason::lost, std::nullopt, false, Visit::failed},
           Case{Reason::refused, std::nullopt, false, Visit::turned_away},
           Case{Reason::protocol, std::nullopt, false, Visit::turned_away},
           Case{Reason::ended, soon, false, Visit::turned_away},
           Case{Reason::ended, soon, true, Visit::brief},
           Case{Reason::lost, soon, false, Visit::failed},
           Case{Reason::lost, soon, true, Visit::brief},
           Case{Reason::ended, long_ago, false, Visit::lasting},
           Case{Reason::lost, long_ago, true, Visit::lasting},
       }) {
    CAPTURE(static_cast<int>(example.reason));
    CHECK(visit_of(example.reason, example.registered_at, example.has_served, now) == example.visit);
  }
}

}  // namespace
}  // namespace remsh
