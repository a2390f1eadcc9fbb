// What a collection remembers of slaves that have left.
#include "master/departures.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace remsh;

TEST_CASE("the last slave of each name is remembered") {
  Departures departures;
  CHECK(departures.find("a") == nullptr);
  departures.remember({.name = "a", .boot_id = "1", .words = "first"});
  departures.remember({.name = "b", .boot_id = "1", .words = "other"});
  departures.remember({.name = "a", .boot_id = "2", .reason = DisconnectReason::cut, .words = "second"});
  REQUIRE(departures.find("a"));
  CHECK(departures.find("a")->words == "second");
  CHECK(departures.find("a")->reason == DisconnectReason::cut);
  CHECK(departures.find("b")->words == "other");
}

TEST_CASE("of too many names those are forgotten that left first, and one that came again is not among them") {
  Departures departures;
  departures.remember({.name = "first"});
  departures.remember({.name = "second"});
  departures.remember({.name = "first"});
  for (std::size_t i = 2; i < Departures::most; ++i) departures.remember({.name = std::to_string(i)});
  CHECK(departures.find("second"));
  departures.remember({.name = "one more"});
  CHECK(departures.find("second") == nullptr);
  CHECK(departures.find("first"));
  CHECK(departures.find("one more"));
  departures.remember({.name = "and one more"});
  CHECK(departures.find("first") == nullptr);
}

TEST_CASE("ids that are missing on either side tell nothing, and a boot counts more than a process") {
  const Departed before{.name = "a", .boot_id = "1", .instance_id = "x"};
  CHECK(incarnation_of("1", "x", nullptr) == Incarnation::first);
  CHECK(incarnation_of("1", "x", &before) == Incarnation::reconnected);
  CHECK(incarnation_of("1", "y", &before) == Incarnation::restarted);
  CHECK(incarnation_of("2", "x", &before) == Incarnation::rebooted);
  CHECK(incarnation_of("2", "y", &before) == Incarnation::rebooted);
  CHECK(incarnation_of("", "y", &before) == Incarnation::unknown);
  CHECK(incarnation_of("1", "", &before) == Incarnation::unknown);
  const Departed silent{.name = "a"};
  CHECK(incarnation_of("1", "x", &silent) == Incarnation::unknown);
  CHECK(to_string(Incarnation::rebooted) == "rebooted");
}
