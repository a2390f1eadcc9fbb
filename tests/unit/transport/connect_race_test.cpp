// Tests of the order and the times of attempts to connect, with a clock that the test moves.
#include "transport/connect_race.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <vector>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::begin_time;

namespace {

/// The order in which all addresses are begun, each after its head start.
std::vector<std::size_t> order_of(ConnectRace race) {
  std::vector<std::size_t> order;
  for (TimePoint now = begin_time; const auto next = race.begin(now); now = race.next_at().value_or(now)) {
    order.push_back(*next);
  }
  return order;
}

}  // namespace

TEST_CASE("families alternate, beginning with that of the first address") {
  using Order = std::vector<std::size_t>;
  CHECK(order_of(ConnectRace({AF_INET6, AF_INET6, AF_INET6, AF_INET, AF_INET})) == Order{0, 3, 1, 4, 2});
  CHECK(order_of(ConnectRace({AF_INET, AF_INET6, AF_INET6})) == Order{0, 1, 2});
  CHECK(order_of(ConnectRace({AF_INET, AF_INET, AF_INET6})) == Order{0, 2, 1});
  CHECK(order_of(ConnectRace({AF_INET, AF_INET})) == Order{0, 1});
  CHECK(order_of(ConnectRace({})).empty());
}

TEST_CASE("each attempt has a head start before the next one begins") {
  ConnectRace race({AF_INET6, AF_INET});
  CHECK(race.begin(begin_time) == 0);
  CHECK(race.next_at() == begin_time + 250ms);
  CHECK_FALSE(race.begin(begin_time).has_value());
  CHECK_FALSE(race.begin(begin_time + 249ms).has_value());
  CHECK(race.begin(begin_time + 250ms) == 1);
  CHECK_FALSE(race.next_at().has_value());
  CHECK_FALSE(race.begin(begin_time + 10s).has_value());
}

TEST_CASE("after a failure the next attempt begins at once, and after it the head start counts again") {
  ConnectRace race({AF_INET6, AF_INET, AF_INET});
  CHECK(race.begin(begin_time) == 0);
  race.failed();
  CHECK(race.begin(begin_time + 1ms) == 1);
  CHECK_FALSE(race.begin(begin_time + 250ms).has_value());
  CHECK(race.next_at() == begin_time + 251ms);
}

TEST_CASE("the race is lost when every attempt has failed, and not before") {
  ConnectRace race({AF_INET6, AF_INET});
  CHECK(race.begin(begin_time) == 0);
  CHECK(race.begin(begin_time + 1s) == 1);
  race.failed();
  CHECK_FALSE(race.is_lost());
  race.failed();
  CHECK(race.is_lost());
  CHECK(ConnectRace({}).is_lost());
}
