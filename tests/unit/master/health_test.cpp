// The health of slaves: the rule, and how those that are not well are out of service.
#include "master/health.hpp"

#include "operations/operations.hpp"
#include "support/ample.hpp"
#include "support/fake_backend.hpp"
#include "support/has.hpp"
#include "support/told_notices.hpp"

#include <doctest/doctest.h>
#include <remsh/master/slave_collection.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;
using remsh::test::has;
using remsh::test::ToldNotices;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

/// A slave that says how much of its disk is free, and counts how often it was asked. A question may outlive it.
struct DiskSlave {
  struct State {
    std::atomic<std::uint64_t> disk_free = 100 * mebibyte;
    std::atomic<int> asked = 0;
  };

  explicit DiskSlave(const std::string& name) : fake(name) {
    fake.backend->on<operations::ReadHostFacts>([state = state](const auto&, const auto&, const auto&) {
      ++state->asked;
      operations::ReadHostFacts::Reply reply;
      reply.facts.disk_free = state->disk_free.load();
      return Result<operations::ReadHostFacts::Reply>(reply);
    });
  }

  const std::shared_ptr<State> state = std::make_shared<State>();
  std::atomic<std::uint64_t>& disk_free = state->disk_free;
  std::atomic<int>& asked = state->asked;
  FakeSlave fake;
};

/// Waits until a slave that is asked all the time has answered once more.
void wait_for_answer(const DiskSlave& slave) {
  const int before = slave.asked;
  while (slave.asked < before + 2) std::this_thread::yield();
}

}  // namespace

TEST_CASE("a slave is not well if a figure is beyond its limit, which is said with both") {
  const HostFacts facts{.cpus = 4,
                        .memory_available = 512 * mebibyte,
                        .disk_free = 900,
                        .load1 = 1250,
                        .round_trip = 40ms,
                        .clock_ahead = -3s};
  CHECK(why_unwell(facts, {}).empty());
  CHECK(why_unwell(facts, {.min_disk_free = 901}) == "free disk 900 bytes, less than 901 bytes");
  CHECK(why_unwell(facts, {.min_disk_free = 900}).empty());
  CHECK(why_unwell(facts, {.min_memory_available = 512 * mebibyte}).empty());
  CHECK(why_unwell(facts, {.min_memory_available = 1536 * mebibyte + mebibyte / 2}) ==
        "available memory 512.0 MiB, less than 1536.5 MiB");
  CHECK(why_unwell(facts, {.max_load_per_cpu = 3.125}).empty());
  CHECK(why_unwell(facts, {.max_load_per_cpu = 2}) == "load 3.13 for each CPU, more than 2.00");
  CHECK(why_unwell(facts, {.max_round_trip = 40ms}).empty());
  CHECK(why_unwell(facts, {.max_round_trip = 39ms}) == "round trip 0.04 s, more than 0.039 s");
  CHECK(why_unwell(facts, {.max_clock_skew = 2980ms}).empty());
  CHECK(why_unwell(facts, {.max_clock_skew = 2979ms}) == "clock 3 s behind, more than 2.979 s");
  CHECK(why_unwell({.clock_ahead = 1h}, {.max_clock_skew = 1s}) == "clock 3600 s ahead, more than 1 s");
  CHECK(why_unwell(facts, {.min_disk_free = 1000, .max_round_trip = 1ms}) ==
        "free disk 900 bytes, less than 1000 bytes, round trip 0.04 s, more than 0.001 s");
}

TEST_CASE("what a slave does not say is not judged, and a missing answer only by the limit of the round trip") {
  const HealthLimits all{.min_disk_free = 1, .min_memory_available = 1, .max_load_per_cpu = 0.01};
  CHECK(why_unwell({}, all).empty());
  CHECK(why_unwell_without_answer(all).empty());
  CHECK(why_unwell_without_answer({.max_round_trip = 1s, .interval = 60s}) ==
        "no answer within 60 s, more than a round trip of 1 s");
  CHECK(patience_of({.interval = 1ms}) == 10s);
  CHECK(patience_of({.max_round_trip = 90s, .interval = 60s}) == 90s);
  CHECK_FALSE(are_set({}));
  CHECK(are_set(all));
  CHECK(are_set({.max_round_trip = 1ms}));
  CHECK(are_set({.max_clock_skew = 1ms}));
}

TEST_CASE("limits that make no sense are refused") {
  for (const HealthLimits& limits :
       {HealthLimits{.max_load_per_cpu = -1},
        HealthLimits{.max_load_per_cpu = std::numeric_limits<double>::quiet_NaN()},
        HealthLimits{.max_load_per_cpu = std::numeric_limits<double>::infinity()}, HealthLimits{.max_round_trip = -1ms},
        HealthLimits{.max_clock_skew = -1ms}, HealthLimits{.interval = 0ms},
        HealthLimits{.max_round_trip = 1ms, .interval = std::chrono::milliseconds::max()}}) {
    CHECK_THROWS_AS(SlaveCollection({.health = limits}), Error);
  }
  CHECK_THROWS_AS(SlaveCollection({.missing_timeout = std::chrono::milliseconds::max()}), Error);
}

TEST_CASE("a slave that is not well is passed by, with the reason, and is back in service when it is well") {
  ToldNotices told;
  DiskSlave a("a");
  SlaveCollection slaves({.health = {.min_disk_free = 10 * mebibyte, .interval = 1ms}});
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.add_slave(a.fake.slave);
  wait_for_answer(a);
  CHECK(slaves.snapshot().at(0).unwell.empty());
  CHECK(slaves.get_slave(no_wait) == a.fake.slave);
  a.disk_free = 9 * mebibyte;
  CHECK(told.first(2).at(1) == "a paused: free disk 9.0 MiB, less than 10.0 MiB");
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  CHECK_FALSE(slaves.reserve({.deadline = no_wait, .slots = 1}));
  std::string why;
  try {
    static_cast<void>(slaves.reserve({.deadline = no_wait, .explain = true}));
  } catch (const Timeout& timeout) {
    why = timeout.message();
  }
  CHECK(has(why, "1 is paused: 'a' (free disk 9.0 MiB, less than 10.0 MiB)"));
  CHECK_FALSE(slaves.snapshot().at(0).paused);
  a.disk_free = 8 * mebibyte;
  while (slaves.snapshot().at(0).unwell != "free disk 8.0 MiB, less than 10.0 MiB") std::this_thread::yield();
  auto waits = slaves.start_reserve({});
  a.disk_free = 10 * mebibyte;
  const Lease lease = waits.wait();
  CHECK(lease.slave() == a.fake.slave);
  CHECK(slaves.snapshot().at(0).unwell.empty());
  CHECK(told.first(4) == std::vector<std::string>{"a arrived", "a paused: free disk 9.0 MiB, less than 10.0 MiB",
                                                  "a resumed", "a reserved"});
}

TEST_CASE("what runs on a slave that is not well goes on, and its lease") {
  DiskSlave a("a");
  SlaveCollection slaves({.health = {.min_disk_free = 10 * mebibyte, .interval = 1ms}});
  slaves.add_slave(a.fake.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  a.disk_free = 0;
  while (slaves.snapshot().at(0).unwell.empty()) std::this_thread::yield();
  CHECK(lease->is_connected());
  CHECK(slaves.snapshot().at(0).reserved);
  lease.release_now();
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  a.disk_free = 10 * mebibyte;
  CHECK(slaves.reserve({.deadline = ample}));
}

TEST_CASE("a slave that is paused and not well is back in service when neither is so any more") {
  ToldNotices told;
  DiskSlave a("a");
  SlaveCollection slaves({.health = {.min_disk_free = 10 * mebibyte, .interval = 1ms}});
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.add_slave(a.fake.slave);
  a.disk_free = 0;
  told.first(2);
  slaves.pause("a", "it is old");
  CHECK(slaves.resume("a"));
  CHECK(slaves.get_slave(no_wait) == nullptr);
  slaves.pause("a", "it is old");
  a.disk_free = 10 * mebibyte;
  told.first(6);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK(slaves.resume("a"));
  CHECK(slaves.get_slave(no_wait) == a.fake.slave);
  const std::string unwell = "a paused: free disk 0 bytes, less than 10.0 MiB";
  CHECK(told.first(7) == std::vector<std::string>{"a arrived", unwell, "a paused: it is old", unwell,
                                                  "a paused: it is old", "a paused: it is old", "a resumed"});
}

TEST_CASE("a slave that cannot say how it is stays in service, and others are asked all the same") {
  FakeSlave silent("silent");
  std::atomic<int> refused = 0;
  silent.backend->on<operations::ReadHostFacts>([&](const auto&, const auto&, const auto&) {
    ++refused;
    return Failure{Errc::unsupported, "it has no such operation", 0};
  });
  DiskSlave a("a");
  SlaveCollection slaves({.health = {.min_disk_free = 10 * mebibyte, .interval = 1ms}});
  slaves.add_slave(silent.slave);
  slaves.add_slave(a.fake.slave);
  a.disk_free = 0;
  while (slaves.snapshot().at(1).unwell.empty() || refused < 2) std::this_thread::yield();
  CHECK(slaves.get_slave(no_wait) == silent.slave);
}

TEST_CASE("a slave that owes an answer is asked nothing more, and is not well if a limit is set for that") {
  std::atomic<int> asked = 0;
  const DiskSlave other("b");
  const FakeSlave silent("a");
  SlaveCollection slaves({.health = {.max_round_trip = 1h, .interval = 1ms}});
  silent.backend->on<operations::ReadHostFacts>([&asked](const auto&, const auto&, const auto&) {
    ++asked;
    return Failure{Errc::timeout, "the deadline passed", 0};
  });
  silent.backend->go_on();
  slaves.add_slave(silent.slave);
  slaves.add_slave(other.fake.slave);
  for (int round = 0; round < 20; ++round) wait_for_answer(other);
  CHECK(asked == 1);
  CHECK(has(slaves.snapshot().at(0).unwell, "no answer within"));
  silent.backend->answer();
  while (asked < 2) std::this_thread::yield();
}

TEST_CASE("without a limit nobody is asked") {
  DiskSlave a("a");
  a.disk_free = 0;
  {
    SlaveCollection slaves({.health = {.interval = 1ms}});
    slaves.add_slave(a.fake.slave);
    CHECK(slaves.get_slave(no_wait) == a.fake.slave);
  }
  CHECK(a.asked == 0);
}

TEST_CASE("slaves that come and go while they are asked, and the end of the collection, race with nothing") {
  for (int round = 0; round < 20; ++round) {
    SlaveCollection slaves({.health = {.min_disk_free = 10 * mebibyte, .interval = 1ms}});
    for (int i = 0; i < 5; ++i) {
      DiskSlave a("a");
      a.disk_free = i % 2 == 0 ? 0 : 10 * mebibyte;
      slaves.add_slave(a.fake.slave);
      while (a.asked == 0) std::this_thread::yield();
      if (i % 2 == 0) slaves.remove_slave(*a.fake.slave);
      a.fake.backend->lose({Errc::connection_lost, "the cable was pulled", 0, DisconnectReason::cut});
    }
  }
}
