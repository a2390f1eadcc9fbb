// SlaveCollection::on_change(): what subscribers are told, in which order, and how subscriptions end.
#include <remsh/master/slave_collection.hpp>

#include "master/slave_notices.hpp"
#include "support/ample.hpp"
#include "support/fake_backend.hpp"
#include "support/told_notices.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;
using remsh::test::ToldNotices;

TEST_CASE("a subscriber is told of slaves that arrive, are reserved, released and leave, in order") {
  ToldNotices told;
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.owner = "build 17", .deadline = no_wait});
  lease.release();
  lease = slaves.reserve({.deadline = no_wait});
  lease.release();
  slaves.remove_slave(*a.slave);
  slaves.add_slave(b.slave);
  lease = slaves.reserve({.owner = "build 18", .deadline = no_wait});
  b.backend->lose({Errc::connection_lost, "the cable was pulled", 0, DisconnectReason::cut});
  CHECK(told.first(9) ==
        std::vector<std::string>{"a arrived", "a reserved for build 17", "a released for build 17", "a reserved",
                                 "a released", "a left: it was taken out of the collection", "b arrived",
                                 "b reserved for build 18", "b left for build 18 (cut): the cable was pulled"});
}

TEST_CASE("a released slave is reported when it is free, not when the lease is given back") {
  ToldNotices told;
  SlaveCollection slaves;
  FakeSlave a("a");
  a.backend->on<operations::Execute>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::timeout, "the deadline passed", 0};
  });
  a.backend->go_on();
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  CHECK_THROWS_AS(static_cast<void>(lease->execute({"make"}, {.deadline = 1ms})), Timeout);
  lease.release();
  const FakeSlave b("b");
  slaves.add_slave(b.slave);
  a.backend->answer();
  CHECK(told.first(4) == std::vector<std::string>{"a arrived", "a reserved", "b arrived", "a released"});
}

TEST_CASE("a pause is reported with its reason when the slave is there, or comes, and so is its end") {
  ToldNotices told;
  SlaveCollection slaves;
  const FakeSlave a("a");
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.pause("a", "its disk is full");
  slaves.add_slave(a.slave);
  slaves.pause("a", "its disk is full");
  slaves.pause("a", "its disk is broken");
  CHECK(slaves.resume("a"));
  CHECK_FALSE(slaves.resume("a"));
  Lease lease = slaves.reserve({.deadline = no_wait});
  slaves.pause("a", "it is old");
  lease.release();
  CHECK(told.first(7) == std::vector<std::string>{"a arrived", "a paused: its disk is full",
                                                  "a paused: its disk is broken", "a resumed", "a reserved",
                                                  "a paused: it is old", "a released"});
}

TEST_CASE("a callback may block and use the collection, and what it throws is dropped") {
  ToldNotices told;
  std::promise<void> go_on;
  const std::shared_future<void> may_go_on = go_on.get_future();
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  const auto blocks = slaves.on_change([&](const SlaveNotice&) { may_go_on.wait(); });
  const auto uses = slaves.on_change([&](const SlaveNotice& notice) {
    if (notice.kind == SlaveNotice::arrived) CHECK(slaves.find(notice.slave->name()) == notice.slave);
    if (notice.kind == SlaveNotice::arrived && slaves.size() == 1) slaves.add_slave(b.slave);
    throw std::runtime_error("dropped");
  });
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.add_slave(a.slave);
  CHECK(told.first(2) == std::vector<std::string>{"a arrived", "b arrived"});
  go_on.set_value();
}

TEST_CASE("a cancelled subscription is told nothing more, and its callback has returned") {
  ToldNotices told;
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  std::latch entered(1);
  std::promise<void> go_on;
  const std::shared_future<void> may_go_on = go_on.get_future();
  std::atomic<int> calls = 0;
  std::atomic<bool> is_inside = false;
  auto subscription = slaves.on_change([&](const SlaveNotice&) {
    is_inside = true;
    if (++calls == 1) entered.count_down();
    may_go_on.wait();
    is_inside = false;
  });
  for (const char* name : {"a", "b", "c"}) slaves.add_slave(fakes.emplace_back(name).slave);
  entered.wait();
  // Several threads may cancel it at once.
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      subscription.cancel();
      CHECK_FALSE(is_inside);
    });
  }
  go_on.set_value();
  for (std::thread& thread : threads) thread.join();
  const int calls_before = calls;
  const auto other = slaves.on_change(std::ref(told));
  slaves.add_slave(fakes.emplace_back("d").slave);
  CHECK(told.first(1) == std::vector<std::string>{"d arrived"});
  CHECK(calls == calls_before);
  subscription.cancel();
}

TEST_CASE("a subscription may be cancelled by its own callback, and callbacks may cancel each other") {
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  std::array<std::optional<SlaveSubscription>, 2> subscriptions;
  std::array<std::atomic<int>, 2> calls = {0, 0};
  std::latch both_inside(2);
  std::latch both_done(2);
  for (std::size_t i = 0; i < 2; ++i) {
    subscriptions.at(i) = slaves.on_change([&, i](const SlaveNotice&) {
      ++calls.at(i);
      both_inside.arrive_and_wait();
      subscriptions.at(1 - i)->cancel();
      subscriptions.at(i)->cancel();
      both_done.count_down();
    });
  }
  slaves.add_slave(fakes.emplace_back("a").slave);
  both_done.wait();
  slaves.add_slave(fakes.emplace_back("b").slave);
  subscriptions = {};
  CHECK(calls[0] == 1);
  CHECK(calls[1] == 1);
}

TEST_CASE("a callback may destroy its subscription, which lets go of what it holds when it returns") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  std::promise<void> returned;
  auto subscription = std::make_unique<SlaveSubscription>();
  std::shared_ptr<std::promise<void>> kept(&returned, [](auto* promise) { promise->set_value(); });
  *subscription = slaves.on_change([&subscription, kept](const SlaveNotice&) {
    subscription.reset();
    CHECK(kept);
  });
  kept.reset();
  slaves.add_slave(a.slave);
  CHECK(returned.get_future().wait_for(ample) == std::future_status::ready);
}

TEST_CASE("a subscription may outlive its collection, which delivers what has happened before it goes") {
  ToldNotices told;
  std::optional<SlaveSubscription> subscription;
  const FakeSlave a("a");
  {
    SlaveCollection slaves;
    subscription = slaves.on_change(std::ref(told));
    slaves.add_slave(a.slave);
  }
  CHECK(told.first(1) == std::vector<std::string>{"a arrived"});
  a.backend->lose({});
  subscription->cancel();
  subscription.reset();
}

TEST_CASE("a callback that does not return holds up a limited number of notices, and is told how many it missed") {
  const auto notices = std::make_shared<SlaveNotices>();
  const FakeSlave a("a");
  std::latch entered(1);
  std::promise<void> go_on;
  std::atomic<std::uint64_t> calls = 0;
  std::atomic<std::uint64_t> missed = 0;
  std::promise<void> all_told;
  const auto subscription = notices->subscribe([&](const SlaveNotice& notice) {
    if (++calls == 1) {
      entered.count_down();
      go_on.get_future().wait();
    }
    missed += notice.missed;
    if (notice.kind == SlaveNotice::left) all_told.set_value();
  });
  const auto publish = [&](SlaveNotice::Kind kind) {
    notices->publish([&] { return SlaveNotice{.kind = kind, .slave = a.slave}; });
  };
  publish(SlaveNotice::arrived);
  entered.wait();
  for (std::size_t i = 0; i < SlaveNotices::most_queued + 7; ++i) publish(SlaveNotice::reserved);
  go_on.set_value();
  while (calls < SlaveNotices::most_queued) std::this_thread::yield();
  publish(SlaveNotice::left);
  CHECK(all_told.get_future().wait_for(ample) == std::future_status::ready);
  CHECK(missed == 7);
  notices->close();
  CHECK(calls == SlaveNotices::most_queued + 2);
}

TEST_CASE("subscribing and cancelling while slaves come, go and are reserved races with nothing") {
  SlaveCollection slaves;
  std::atomic<bool> is_over = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) {
        const FakeSlave mine("s" + std::to_string(i));
        slaves.add_slave(mine.slave);
        const Lease lease = slaves.reserve({.owner = "job", .deadline = no_wait});
        if (round % 2 == 0) mine.backend->lose({});
        slaves.remove_slave(*mine.slave);
      }
      is_over = true;
    });
  }
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!is_over) {
        // Guarded by nothing: after the end of the subscription no callback touches it.
        std::array<int, 4> counts = {};
        auto subscription = slaves.on_change([&](const SlaveNotice& notice) { ++counts.at(notice.kind); });
        const auto moved = std::move(subscription);
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(slaves.size() == 0);
}
