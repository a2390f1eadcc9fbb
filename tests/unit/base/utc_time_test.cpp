// Tests of moments as text.
#include "base/utc_time.hpp"

#include <doctest/doctest.h>

using namespace remsh;
using namespace std::chrono_literals;

TEST_CASE("a moment is read as it is written") {
  const std::chrono::system_clock::time_point epoch;
  CHECK(to_utc_text(epoch) == "1970-01-01T00:00:00Z");
  CHECK(to_utc_text(epoch + 951'782'400s) == "2000-02-29T00:00:00Z");
  CHECK(to_utc_text(epoch + 1'801'353'599s + 999ms) == "2027-01-30T23:59:59Z");
  for (const char* text :
       {"1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2027-01-31T00:00:00Z", "2200-12-31T23:59:59Z"}) {
    CAPTURE(text);
    const auto moment = parse_utc_time(text);
    REQUIRE(moment);
    CHECK(to_utc_text(*moment) == text);
  }
}

TEST_CASE("what is no moment of that form is refused") {
  for (const char* text :
       {"", "2027-01-31", "2027-01-31T00:00:00", "2027-01-31T00:00:00+00:00", "2027-01-31t00:00:00z",
        "2027-01-31 00:00:00Z", "2027-02-29T00:00:00Z", "2027-00-01T00:00:00Z", "2027-13-01T00:00:00Z",
        "2027-01-31T24:00:00Z", "2027-01-31T00:60:00Z", "2027-01-31T00:00:60Z", "1969-12-31T23:59:59Z",
        "2201-01-01T00:00:00Z", "2027-01-31T00:00:0aZ", "-027-01-31T00:00:00Z", "2027-01-31T00:00:00Z "}) {
    CAPTURE(text);
    CHECK_FALSE(parse_utc_time(text));
  }
}
