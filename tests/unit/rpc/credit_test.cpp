// Credit: what a sender may send, what a receiver grants again, and that the two never both wait.
#include "rpc/credit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

using namespace remsh::rpc;

TEST_CASE("a data box costs its bytes, but at least 64") {
  CHECK(chunk_cost(1) == 64);
  CHECK(chunk_cost(64) == 64);
  CHECK(chunk_cost(65) == 65);
}

TEST_CASE("a sender may send a window, and nothing where a box would cost more than it has") {
  SendCredit credit;
  CHECK(credit.room() == stream_window);
  credit.spend(stream_window - 64);
  CHECK(credit.room() == 64);
  credit.spend(1);
  CHECK(credit.room() == 0);
  CHECK(credit.add(63));
  CHECK(credit.room() == 0);
  CHECK(credit.add(1));
  CHECK(credit.room() == 64);
}

TEST_CASE("a sender refuses more credit than a stream can have") {
  SendCredit credit;
  CHECK_FALSE(credit.add(stream_window_max - stream_window + 1));
  CHECK_FALSE(credit.add(UINT64_MAX));
  CHECK(credit.add(stream_window_max - stream_window));
  CHECK(credit.room() == stream_window_max);
  CHECK_FALSE(credit.add(1));
  CHECK(credit.add(0));
}

TEST_CASE("a receiver takes a window and not a byte more") {
  ReceiveWindow window;
  CHECK(window.receive(stream_window - 64));
  CHECK_FALSE(window.receive(65));
  CHECK(window.receive(1));
  CHECK_FALSE(window.receive(1));
}

TEST_CASE("credit is granted again in halves of the window") {
  CreditPool pool(0);
  ReceiveWindow window;
  REQUIRE(window.receive(stream_window / 2 - 1));
  REQUIRE(window.receive(64));
  CHECK(window.consume(stream_window / 2 - 1, true, pool) == 0);
  CHECK(window.consume(64, true, pool) == stream_window / 2 + 63);
  CHECK(window.window() == stream_window);
}

TEST_CASE("a consumer that keeps up is lent more, up to 2 MiB, and one that does not is not") {
  CreditPool pool;
  ReceiveWindow slow;
  REQUIRE(slow.receive(stream_window));
  CHECK(slow.consume(stream_window, false, pool) == stream_window);
  CHECK(slow.window() == stream_window);

  ReceiveWindow fast;
  std::uint64_t granted = stream_window;
  for (int i = 0; i < 10; ++i) {
    const std::uint64_t before = fast.window();
    for (std::uint64_t left = granted; left > 0;) {
      const std::uint64_t piece = std::min<std::uint64_t>(left, 32 * 1024);
      REQUIRE(fast.receive(piece));
      left -= piece;
    }
    const std::uint64_t grant = fast.consume(granted, true, pool);
    CHECK(fast.window() == std::min(before * 4, stream_window_max));
    CHECK(grant == granted + fast.window() - before);
    granted = grant;
  }
  CHECK(fast.window() == stream_window_max);
  CHECK(pool.free() == credit_pool - (stream_window_max - stream_window));
}

// How much is under way depends on how much was used up and not granted again: at most half.
TEST_CASE("on a long link a stream has at least half of all that it may have under way after three round trips") {
  CreditPool pool;
  SendCredit sender;
  ReceiveWindow receiver;
  std::vector<std::uint64_t> round_trips;  // what was under way in each
  while (round_trips.size() < 5) {
    std::uint64_t grants = 0;  // all that was sent arrives before the first of them is back
    std::uint64_t under_way = 0;
    while (const std::uint64_t room = sender.room()) {
      const std::uint64_t piece = std::min<std::uint64_t>(room, 65'535);
      sender.spend(piece);
      REQUIRE(receiver.receive(piece));
      under_way += piece;
      grants += receiver.consume(piece, true, pool);
    }
    round_trips.push_back(under_way);
    REQUIRE(sender.add(grants));
  }
  CHECK(round_trips[0] < stream_window);
  CHECK(round_trips[1] > 3 * stream_window);
  CHECK(round_trips[2] > 14 * stream_window);
  CHECK(round_trips[3] > stream_window_max / 2);
  CHECK(round_trips[4] > stream_window_max / 2);
}

TEST_CASE("the pool of a connection bounds what all streams are lent, and gets it back") {
  CreditPool pool;
  std::deque<ReceiveWindow> windows(8);
  for (int round = 0; round < 8; ++round) {
    for (auto& window : windows) {
      std::uint64_t used = 0;
      while (used < window.window() / 2) {
        REQUIRE(window.receive(32 * 1024));
        used += 32 * 1024;
        window.consume(32 * 1024, true, pool);
      }
    }
  }
  CHECK(pool.free() == 0);
  std::uint64_t lent = 0;
  for (auto& window : windows) lent += window.window() - stream_window;
  CHECK(lent == credit_pool);
  for (auto& window : windows) {
    window.settle(pool);
    window.settle(pool);  // gives nothing twice
  }
  CHECK(pool.free() == credit_pool);
}

// Whatever the sizes and the order: after everything was consumed and every grant has arrived, the sender may send a
// quarter of a first window, which is what Peer waits for; and what is granted and unused never exceeds the limit.
TEST_CASE("sender and receiver never both wait") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    CreditPool pool(random() % 2 == 0 ? credit_pool : random() % 100'000);
    SendCredit sender;
    ReceiveWindow receiver;
    std::deque<std::uint64_t> on_the_way;
    std::deque<std::uint64_t> inbox;
    std::deque<std::uint64_t> grants;
    const std::uint64_t largest = seed % 3 == 0 ? 100 : 65535;
    const auto send = [&] {
      const std::uint64_t size = std::min<std::uint64_t>(sender.room(), 1 + random() % largest);
      if (size == 0) return;
      sender.spend(size);
      on_the_way.push_back(size);
    };
    const auto arrive = [&] {
      if (on_the_way.empty()) return;
      REQUIRE(receiver.receive(on_the_way.front()));
      inbox.push_back(on_the_way.front());
      on_the_way.pop_front();
    };
    const auto consume = [&] {
      if (inbox.empty()) return;
      const std::uint64_t size = inbox.front();
      inbox.pop_front();
      if (const auto grant = receiver.consume(size, inbox.empty(), pool)) grants.push_back(grant);
    };
    const auto granted = [&] {
      if (grants.empty()) return;
      REQUIRE(sender.add(grants.front()));
      grants.pop_front();
    };
    for (int step = 0; step < 2000; ++step) {
      switch (random() % 4) {
        case 0: send(); break;
        case 1: arrive(); break;
        case 2: consume(); break;
        default: granted();
      }
    }
    while (!on_the_way.empty()) arrive();
    while (!inbox.empty()) consume();
    while (!grants.empty()) granted();
    REQUIRE(sender.room() >= stream_window / 4);
    REQUIRE(sender.room() >= receiver.window() / 2);
    REQUIRE(receiver.window() <= stream_window_max);
  }
}
