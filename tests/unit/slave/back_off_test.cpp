#include "slave/back_off.hpp"

#include <doctest/doctest.h>

#include <cstdint>

namespace remsh {
namespace {

using std::chrono::milliseconds;

// The greatest pause that a limit allows comes from a random number that is the limit itself.
milliseconds greatest(BackOff& back_off, milliseconds limit) {
  return back_off.next(milliseconds(0), static_cast<std::uint64_t>(limit.count()));
}

TEST_CASE("the limit of the pause doubles from the first to the most, and stays there") {
  BackOff back_off(milliseconds(500), milliseconds(3000));
  for (const int limit : {500, 1000, 2000, 3000, 3000}) {
    CAPTURE(limit);
    CHECK(greatest(back_off, milliseconds(limit)) == milliseconds(limit));
  }
}

TEST_CASE("a pause lies anywhere from nothing to its limit") {
  BackOff back_off(milliseconds(500), milliseconds(500));
  CHECK(back_off.next(milliseconds(0), 0) == milliseconds(0));
  CHECK(back_off.next(milliseconds(0), 250) == milliseconds(250));
  CHECK(back_off.next(milliseconds(0), 500) == milliseconds(500));
  CHECK(back_off.next(milliseconds(0), 501) == milliseconds(0));
  CHECK(back_off.next(milliseconds(0), UINT64_MAX) <= milliseconds(500));
}

TEST_CASE("after a success the pauses begin anew") {
  BackOff back_off(milliseconds(500), milliseconds(60000));
  for (int i = 0; i < 5; ++i) static_cast<void>(back_off.next(milliseconds(0), 1));
  back_off.reset();
  CHECK(greatest(back_off, milliseconds(500)) == milliseconds(500));
}

TEST_CASE("what the master asks for counts, with some jitter, and not for more than an hour") {
  BackOff back_off(milliseconds(500), milliseconds(60000));
  CHECK(back_off.next(milliseconds(2000), 0) == milliseconds(2000));
  CHECK(back_off.next(milliseconds(2000), 250) == milliseconds(2250));
  CHECK(back_off.next(milliseconds(2000), 251) == milliseconds(2000));
  CHECK(back_off.next(std::chrono::hours(1000), 0) == BackOff::max_retry);
}

TEST_CASE("a first pause of nothing grows all the same") {
  BackOff back_off(milliseconds(0), milliseconds(8));
  CHECK(greatest(back_off, milliseconds(1)) == milliseconds(1));
  CHECK(greatest(back_off, milliseconds(2)) == milliseconds(2));
  CHECK(greatest(back_off, milliseconds(4)) == milliseconds(4));
}

}  // namespace
}  // namespace remsh
