#include "transport/gate.hpp"

#include "support/begin_time.hpp"
#include "support/memory_in_use.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;
using remsh::test::begin_time;

IpAddress address(const std::string& text) {
  const auto parsed = parse_ip_address(text);
  REQUIRE(parsed);
  return *parsed;
}

/// A host of the internet, other for each number.
IpAddress host(std::uint32_t number) {
  return address("11." + std::to_string(number >> 16U & 0xFFU) + "." + std::to_string(number >> 8U & 0xFFU) + "." +
                 std::to_string(number & 0xFFU));
}

bool lets_in(Gate& gate, const Origin& source, TimePoint now = begin_time) {
  return gate.begin(source, now).refused.empty();
}

/// How many of so many that come from a source are let in.
int let_in(Gate& gate, const Origin& source, int count) {
  int in = 0;
  for (int i = 0; i < count; ++i) in += lets_in(gate, source) ? 1 : 0;
  return in;
}

}  // namespace

TEST_CASE("an address has eight places at once, and gets one back as soon as one of its connections is over") {
  Gate gate({});
  const IpAddress one = host(1);
  std::vector<Gate::Id> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(gate.begin(one, begin_time).id);
  CHECK(gate.begin(one, begin_time).refused == "8 others of its address are registering already");
  CHECK(gate.size() == 8);
  CHECK(lets_in(gate, host(2)));
  gate.end(ids[3]);
  CHECK(lets_in(gate, one));
  CHECK_FALSE(lets_in(gate, one));
}

TEST_CASE("of IPv6 a network of 64 bits counts as one source, of IPv4 each address") {
  Gate gate({});
  for (int i = 1; i <= 8; ++i) CHECK(lets_in(gate, address("2001:db8:0:1::" + std::to_string(i))));
  CHECK_FALSE(lets_in(gate, address("2001:db8:0:1:ffff::1")));
  CHECK(lets_in(gate, address("2001:db8:0:2::1")));
  CHECK(let_in(gate, address("198.51.100.1"), 10) == 8);
  CHECK(let_in(gate, address("::ffff:198.51.100.1"), 10) == 0);  // the same
  CHECK(let_in(gate, address("198.51.100.2"), 10) == 8);
}

TEST_CASE("a user of this host has sixty-four places, and is no address") {
  Gate gate({});
  CHECK(let_in(gate, uid_t{0}, 100) == 64);
  CHECK(let_in(gate, uid_t{1000}, 100) == 64);
  CHECK(gate.begin(uid_t{0}, begin_time).refused == "64 others of its user are registering already");
  CHECK(let_in(gate, address("::"), 100) == 8);
}

TEST_CASE("the loopback and the networks that are listed have no limit of their own, but that of all") {
  Gate gate({.max_handshakes = 50, .exempt = {*Network::parse("10.0.0.0/8"), *Network::parse("2001:db8::7/128")}});
  for (const char* text : {"127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "2001:db8::7"}) {
    CAPTURE(text);
    CHECK(let_in(gate, address(text), 100) == 100);
    CHECK(gate.size() == 50);
    for (int i = 0; i < 20; ++i) gate.failed(address(text), begin_time);
    CHECK(lets_in(gate, address(text)));
  }
  CHECK(gate.penalties() == 0);
  Gate other({.exempt = {*Network::parse("2001:db8::7/128")}});
  CHECK(let_in(other, address("2001:db8::8"), 100) == 8);  // a neighbour of it
  CHECK(let_in(other, address("11.0.0.1"), 100) == 8);
}

TEST_CASE("what was let in by other means takes no place and has no limit") {
  Gate gate({.max_handshakes = 1});
  CHECK(let_in(gate, {}, 1000) == 1000);
  gate.failed({}, begin_time);
  CHECK(let_in(gate, {}, 1000) == 1000);
  CHECK(gate.size() == 0);
  CHECK(gate.penalties() == 0);
  for (int i = 0; i < 10; ++i) CHECK(gate.tell({}, begin_time).aloud);
  gate.end(0);
  gate.proven(0);
}

TEST_CASE("where all places are taken, the oldest connection of the source that has most gives way") {
  Gate gate({.max_handshakes = 6});
  const auto begin = [&](std::uint32_t number) { return gate.begin(host(number), begin_time); };
  const Gate::Id single = begin(1).id;
  const Gate::Id first_of_two = begin(2).id;
  begin(2);
  const Gate::Id first_of_three = begin(3).id;
  begin(3);
  begin(3);
  CHECK(begin(4).gives_way == first_of_three);      // now 1: one, 2: two, 3: two, 4: one
  CHECK(begin(5).gives_way == first_of_two);        // the older one of the two that have as many
  CHECK(begin(3).gives_way == first_of_three + 1);  // with the newcomer it would have most itself
  CHECK(begin(6).gives_way == first_of_three + 2);
  const auto next = begin(7);  // now each has one
  CHECK(next.gives_way == single);
  CHECK(next.refused.empty());
  CHECK(gate.size() == 6);
  gate.end(single);  // as who closes it will: it has no place any more
  CHECK(gate.size() == 6);
}

TEST_CASE("who has proven who he is keeps his place, and where all are such a newcomer is refused") {
  Gate gate({.max_handshakes = 3});
  std::vector<Gate::Id> ids;
  for (std::uint32_t i = 0; i < 3; ++i) ids.push_back(gate.begin(host(i), begin_time).id);
  gate.proven(ids[0]);
  CHECK(gate.begin(host(10), begin_time).gives_way == ids[1]);
  CHECK(gate.begin(host(11), begin_time).gives_way == ids[2]);
  CHECK(gate.begin(host(12), begin_time).gives_way == ids[2] + 1);
  gate.proven(ids[2] + 2);
  gate.proven(ids[2] + 3);
  CHECK(gate.begin(host(13), begin_time).refused == "3 others are registering already");
  CHECK(gate.size() == 3);
  gate.end(ids[0]);
  CHECK(lets_in(gate, host(13)));
}

TEST_CASE("one that is being considered does not count for its address any more") {
  Gate gate({});
  for (int i = 0; i < 100; ++i) gate.proven(gate.begin(host(1), begin_time).id);
  CHECK(gate.size() == 100);
  CHECK(let_in(gate, host(1), 100) == 8);
}

TEST_CASE("a wrong proof shuts its address out for five seconds, each further one for twice as long, to ten minutes") {
  Gate gate({});
  TimePoint now = begin_time;
  for (const auto penalty : {5s, 10s, 20s, 40s, 80s, 160s, 320s, 600s, 600s}) {
    CAPTURE(penalty.count());
    gate.failed(host(1), now);
    CHECK(gate.begin(host(1), now).refused ==
          "a proof from its address was wrong; none is listened to for " + std::to_string(penalty.count()) + " s");
    CHECK_FALSE(lets_in(gate, host(1), now + penalty - 1ns));
    for (const std::uint32_t number : {1U, 2U}) {
      const auto verdict = gate.begin(host(number), number == 1 ? now + penalty : now);
      CHECK(verdict.refused.empty());
      gate.end(verdict.id);
    }
    now += penalty;
  }
}

TEST_CASE("a penalty is for the whole network of an IPv6 address, and not for users of this host") {
  Gate gate({});
  gate.failed(address("2001:db8::1"), begin_time);
  CHECK_FALSE(lets_in(gate, address("2001:db8::2"), begin_time));
  CHECK(lets_in(gate, address("2001:db8:0:1::1"), begin_time));
  gate.failed(uid_t{0}, begin_time);
  CHECK(lets_in(gate, uid_t{0}, begin_time));
  CHECK(gate.penalties() == 1);
}

TEST_CASE("a penalty is forgotten after a while without, and when its address proves something") {
  Gate gate({});
  const auto penalty_at = [&gate](TimePoint now) {
    gate.failed(host(1), now);
    return lets_in(gate, host(1), now + 5s) ? 5 : 10;
  };
  CHECK(penalty_at(begin_time) == 5);
  CHECK(penalty_at(begin_time + 5s + 10min - 1ns) == 10);
  const TimePoint end = begin_time + 5s + 10min + 10s;
  CHECK(penalty_at(end + 10min) == 5);
  const auto place = gate.begin(host(1), end + 11min);
  gate.proven(place.id);
  CHECK(gate.penalties() == 0);
  CHECK(penalty_at(end + 12min) == 5);
}

TEST_CASE("the table of penalties is bounded, the oldest one goes, and those that are forgotten leave it") {
  constexpr std::uint32_t most = 65536;
  Gate gate({});
#ifdef REMSH_CAN_COUNT
  const std::size_t before = test::bytes_in_use();
#endif
  for (std::uint32_t i = 0; i < most; ++i) gate.failed(host(i), begin_time + i * 1us);
  CHECK(gate.penalties() == most);
  gate.failed(host(0), begin_time + 1s);  // again, so that it is the newest
#ifdef REMSH_CAN_COUNT
  const std::size_t taken = test::bytes_taken_since(before);
  MESSAGE("bytes of a full table of penalties: ", taken);
  CHECK(taken <= 12 * 1024 * 1024);
#endif
  gate.failed(host(most), begin_time + 1s);
  CHECK(gate.penalties() == most);
  CHECK(lets_in(gate, host(1), begin_time + 1s));
  CHECK_FALSE(lets_in(gate, host(0), begin_time + 1s));
  CHECK_FALSE(lets_in(gate, host(2), begin_time + 1s));
  CHECK_FALSE(lets_in(gate, host(most), begin_time + 1s));
  for (std::uint32_t i = 0; i < 200000; ++i) gate.failed(host(i + 100000), begin_time + 2s);
  CHECK(gate.penalties() == most);
#ifdef REMSH_CAN_COUNT
  CHECK(test::bytes_taken_since(before) <= taken + 4096);
#endif
  gate.failed(host(1), begin_time + 1h);
  CHECK(gate.penalties() == 1);
}

TEST_CASE("a source is told of once in ten seconds, with the number of times that it was not") {
  Gate gate({});
  CHECK(gate.tell(host(1), begin_time).aloud);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(gate.tell(host(1), begin_time + 10s - 1ns).aloud);
  const auto second = gate.tell(host(2), begin_time);
  CHECK(second.aloud);
  CHECK(second.untold == 0);
  const auto later = gate.tell(host(1), begin_time + 10s);
  CHECK(later.aloud);
  CHECK(later.untold == 7);
  CHECK_FALSE(gate.tell(host(1), begin_time + 19s).aloud);
  CHECK(gate.tell(host(1), begin_time + 20s).untold == 1);
}

TEST_CASE("of a user of this host, who may have many slaves, more is told, up to a bound") {
  Gate gate({.max_log_lines = 3});
  for (int i = 0; i < 3; ++i) CHECK(gate.tell(uid_t{7}, begin_time).aloud);
  CHECK_FALSE(gate.tell(uid_t{7}, begin_time).aloud);
  CHECK(gate.tell(uid_t{8}, begin_time).aloud);
  CHECK(gate.tell(uid_t{7}, begin_time + 10s).untold == 1);
}

TEST_CASE("however many sources there are, what is logged of them is bounded, and nothing goes uncounted") {
  Gate gate({});
  std::size_t lines = 0;
  std::size_t untold = 0;
  constexpr std::uint32_t sources = 10000;
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t i = 0; i < sources; ++i) {
      const auto telling = gate.tell(host(i), begin_time + round * 10s);
      if (!telling.aloud) continue;
      ++lines;
      untold += telling.untold + telling.untold_of_others;
    }
  }
  CHECK(lines == 3 * 256);
  const auto last = gate.tell(host(0), begin_time + 1h);
  CHECK(lines + untold + last.untold + last.untold_of_others == 3 * sources);
}

TEST_CASE("ten thousand sources that hold their connections open take places of one another, not of who is quick") {
  Gate gate({});
  std::mt19937 random(20261121);  // NOLINT(*-msc51-cpp): the same each time
  const auto strangers = [&](int count) {
    std::vector<Gate::Id> gone;
    for (int i = 0; i < count; ++i) {
      const auto verdict = gate.begin(host(static_cast<std::uint32_t>(random() % 10000)), begin_time);
      if (verdict.gives_way) gone.push_back(*verdict.gives_way);
      CHECK(gate.size() <= 256);
    }
    return gone;
  };
  strangers(10000);
  CHECK(gate.size() == 256);
  int starved = 0;
  for (int i = 0; i < 500; ++i) {  // an honest one, and as many strangers as fit into its milliseconds
    const auto honest = gate.begin(address("192.0.2.1"), begin_time);
    CHECK(honest.refused.empty());
    for (const Gate::Id id : strangers(200)) starved += id == honest.id ? 1 : 0;
    gate.proven(honest.id);
    gate.end(honest.id);
  }
  CHECK(starved == 0);
}

TEST_CASE("few sources that come without a pause never take the place of another one") {
  Gate gate({.exempt = {*Network::parse("10.0.0.0/8")}});  // by which these may have all places
  const auto honest = gate.begin(host(1), begin_time);
  bool starved = false;
  for (int i = 0; i < 100000; ++i) {
    const auto verdict = gate.begin(address("10.0.0." + std::to_string(i % 16)), begin_time);
    CHECK(verdict.refused.empty());
    starved = starved || verdict.gives_way == honest.id;
  }
  CHECK_FALSE(starved);
  CHECK(gate.size() == 256);
  CHECK(let_in(gate, host(1), 100) == 7);
}

TEST_CASE("whatever the order of what comes, the places and their limits hold") {
  std::mt19937 random(20261121);  // NOLINT(*-msc51-cpp)
  Gate gate({.max_handshakes = 40, .max_per_address = 3, .max_penalties = 20});
  struct Held {
    Gate::Id id;
    std::uint32_t number;
    bool is_proven;
  };
  std::vector<Held> held;
  TimePoint now = begin_time;
  for (int i = 0; i < 100000; ++i) {
    now += std::chrono::milliseconds(random() % 100);
    const auto number = static_cast<std::uint32_t>(random() % 30);
    const auto of_number = [&](const Held& one) { return one.number == number && !one.is_proven; };
    switch (random() % 8) {
      case 0:
        if (random() % 50 == 0) gate.failed(host(number), now);
        break;
      case 1:
        if (!held.empty()) {
          Held& one = held[random() % held.size()];
          gate.proven(one.id);
          one.is_proven = true;
        }
        break;
      case 2:
      case 3:
        if (!held.empty()) {
          const auto one = held.begin() + static_cast<std::ptrdiff_t>(random() % held.size());
          gate.end(one->id);
          held.erase(one);
        }
        break;
      default: {
        const auto own = std::count_if(held.begin(), held.end(), of_number);
        const auto verdict = gate.begin(host(number), now);
        if (verdict.gives_way) {
          const auto gone =
              std::find_if(held.begin(), held.end(), [&](const Held& one) { return one.id == *verdict.gives_way; });
          REQUIRE(gone != held.end());
          REQUIRE_FALSE(gone->is_proven);
          held.erase(gone);
        }
        if (!verdict.refused.empty()) break;
        REQUIRE(own < 3);
        held.push_back({verdict.id, number, false});
      }
    }
    REQUIRE(gate.size() == held.size());
    REQUIRE(gate.size() <= 40);
    REQUIRE(gate.penalties() <= 20);
  }
}

}  // namespace remsh
