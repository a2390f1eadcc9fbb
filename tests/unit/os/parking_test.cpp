// Parking: permits, deadlines, and that nothing is lost between threads.
#include "os/parking.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using remsh::Parking;
using remsh::TimePoint;
using std::chrono::steady_clock;

TEST_CASE("a permit given before parking is not lost") {
  Parking parking;
  parking.unpark();
  CHECK(parking.park_until(TimePoint::max()));
}

TEST_CASE("several permits are one") {
  Parking parking;
  parking.unpark();
  parking.unpark();
  CHECK(parking.park_until(TimePoint::min()));
  CHECK_FALSE(parking.park_until(TimePoint::min()));
}

TEST_CASE("a deadline in the past takes what is there and does not wait") {
  Parking parking;
  CHECK_FALSE(parking.park_until(steady_clock::now() - 1h));
  CHECK_FALSE(parking.park_until(TimePoint{}));
  parking.unpark();
  CHECK(parking.park_until(steady_clock::now() - 1h));
}

TEST_CASE("a deadline ends the wait, and not before its time") {
  Parking parking;
  const TimePoint deadline = steady_clock::now() + 20ms;
  CHECK_FALSE(parking.park_until(deadline));
  CHECK(steady_clock::now() >= deadline);

  parking.unpark();  // who left without a permit left no trace
  CHECK(parking.park_until(TimePoint::min()));
}

TEST_CASE("a parked thread is woken, and sees what was written before") {
  Parking there;
  Parking back;
  int value = 0;  // not atomic: the permits order it
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) {
      there.park();
      ++value;
      back.unpark();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    ++value;
    there.unpark();
    CHECK(back.park_until(steady_clock::now() + 1min));
  }
  other.join();
  CHECK(value == 2000);
}

TEST_CASE("of many who unpark at once none is lost") {
  Parking parking;
  constexpr std::size_t threads = 4;
  constexpr int rounds = 2000;
  std::vector<std::unique_ptr<std::atomic<int>>> given;
  for (std::size_t i = 0; i < threads; ++i) given.push_back(std::make_unique<std::atomic<int>>(0));
  std::vector<std::thread> others;
  for (std::size_t i = 0; i < threads; ++i) {
    others.emplace_back([&, i] {
      for (int round = 0; round < rounds; ++round) {
        given[i]->fetch_add(1, std::memory_order_relaxed);
        parking.unpark();
      }
    });
  }
  const auto all_given = [&] {
    for (const auto& count : given) {
      if (count->load(std::memory_order_relaxed) != rounds) return false;
    }
    return true;
  };
  while (!all_given()) {
    // Deadlines that race with permits; and the last permit must be seen, else this never ends.
    if (!parking.park_until(steady_clock::now() + 50us)) {
      if (!all_given()) parking.park();
    }
  }
  for (std::thread& other : others) other.join();
}

TEST_CASE("it may go as soon as its permit was taken") {
  for (int round = 0; round < 500; ++round) {
    auto parking = std::make_unique<Parking>();
    std::thread other([raw = parking.get()] { raw->unpark(); });
    parking->park();
    parking.reset();
    other.join();
  }
}
