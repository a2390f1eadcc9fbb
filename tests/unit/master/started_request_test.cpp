// start_get_slave() and start_reserve(): requests that no thread waits in, against all that may happen meanwhile.
#include <remsh/base/completion_queue.hpp>
#include <remsh/master/slave_collection.hpp>

#include "support/ample.hpp"
#include "support/fake_backend.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;

namespace {

SlaveFilter named(const std::string& name) {
  return [name](const Slave& slave) { return slave.name() == name; };
}

/// Waits until a slave of this collection is reserved, or is not any more.
void wait_until_reserved(const SlaveCollection& slaves, bool reserved) {
  for (;;) {
    const std::uint64_t version = slaves.version();
    if (slaves.snapshot().at(0).reserved == reserved) return;
    REQUIRE(slaves.wait_for_change(version, ample));
  }
}

}  // namespace

TEST_CASE("a started request gets a slave that is there, or that comes") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  slaves.add_slave(a.slave);
  auto there = slaves.start_get_slave({.filter = named("a")});
  auto comes = slaves.start_get_slave({.filter = named("b")});
  auto alone = slaves.start_reserve({.filter = named("b"), .owner = "build 17"});
  CHECK(there.wait() == a.slave);
  CHECK_FALSE(comes.wait_until(no_wait));
  slaves.add_slave(b.slave);
  CHECK(comes.wait() == b.slave);
  Lease lease = alone.wait();
  CHECK(lease.slave() == b.slave);
  CHECK(slaves.snapshot().at(1).reserved_by == "build 17");
  CHECK_FALSE(slaves.reserve({.filter = named("b"), .deadline = no_wait}));
  lease.release();
  CHECK(slaves.reserve({.filter = named("b"), .deadline = no_wait}));
}

TEST_CASE("a started request goes on although nobody waits for it, and releases the lease that nobody takes") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  {
    const auto pending = slaves.start_reserve({.owner = "nobody"});
    slaves.add_slave(a.slave);
    wait_until_reserved(slaves, true);
    CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  }
  CHECK(slaves.reserve({.deadline = no_wait}));
  {
    auto pending = slaves.start_reserve({});
    wait_until_reserved(slaves, true);
    pending.cancel();
    CHECK(slaves.reserve({.deadline = no_wait}));
    CHECK_THROWS_AS(static_cast<void>(pending.wait()), Cancelled);
  }
}

TEST_CASE("started requests and threads that wait are served in one order") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave probe("probe");
  const FakeSlave later_probe("later probe");
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  auto first = slaves.start_reserve({.filter = named("a")});
  // A thread that is in the queue once it was shown the second of two probes.
  slaves.add_slave(probe.slave);
  std::latch has_looked(1);
  std::latch is_queued(1);
  const auto is_a = [&](const Slave& slave) {
    if (slave.name() == "probe") has_looked.count_down();
    if (slave.name() == "later probe") is_queued.count_down();
    return slave.name() == "a";
  };
  auto second = std::async(std::launch::async, [&] { return slaves.reserve({.filter = is_a}); });
  has_looked.wait();
  slaves.add_slave(later_probe.slave);
  is_queued.wait();
  auto third = slaves.start_reserve({.filter = named("a")});

  lease.release();
  lease = first.wait();
  CHECK(lease.slave() == a.slave);
  CHECK_FALSE(third.wait_until(no_wait));
  lease.release();
  lease = second.get();
  CHECK_FALSE(third.wait_until(no_wait));
  lease.release();
  CHECK(third.wait().slave() == a.slave);
}

TEST_CASE("a started request ends at its deadline without a slave") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  CHECK(slaves.start_get_slave({.filter = named("b"), .deadline = 5ms}).wait() == nullptr);
  CHECK_FALSE(slaves.start_reserve({.filter = named("b"), .deadline = 5ms}).wait());
  CHECK_FALSE(slaves.start_reserve({.filter = named("b"), .deadline = no_wait}).wait());
  CHECK(slaves.start_reserve({.deadline = no_wait}).wait());
  auto explained = slaves.start_reserve({.filter = named("b"), .deadline = 5ms, .explain = true});
  CHECK_THROWS_AS(static_cast<void>(explained.wait()), Timeout);
}

TEST_CASE("a stop ends a started request, and so does its cancelling, and others go on") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  std::stop_source stop;
  auto stopped = slaves.start_get_slave({.stop = stop.get_token()});
  auto cancelled = slaves.start_get_slave({});
  auto dropped = std::make_optional(slaves.start_reserve({}));
  auto other = slaves.start_reserve({});
  stop.request_stop();
  CHECK_THROWS_AS(static_cast<void>(stopped.wait()), Cancelled);
  cancelled.cancel();
  CHECK_THROWS_AS(static_cast<void>(cancelled.wait()), Cancelled);
  dropped.reset();
  slaves.add_slave(a.slave);
  CHECK(other.wait().slave() == a.slave);
  CHECK_THROWS_AS(static_cast<void>(slaves.start_get_slave({.stop = stop.get_token()}).wait()), Cancelled);
}

TEST_CASE("what a filter throws comes out of wait(), and the next gets the slave") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const SlaveFilter broken = [](const Slave&) -> bool { throw std::out_of_range("mine"); };
  auto first = slaves.start_reserve({.filter = broken});
  auto second = slaves.start_reserve({});
  slaves.add_slave(a.slave);
  CHECK_THROWS_AS(static_cast<void>(first.wait()), std::out_of_range);
  CHECK(second.wait().slave() == a.slave);
}

TEST_CASE("no filter runs after its request was cancelled or destroyed") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  for (const bool is_destroyed : {false, true}) {
    std::latch inside(1);
    std::latch go_on(1);
    std::atomic<bool> is_inside = false;
    auto pending = std::make_optional(slaves.start_reserve({.filter = [&](const Slave&) {
      is_inside = true;
      inside.count_down();
      go_on.wait();
      is_inside = false;
      return true;
    }}));
    slaves.add_slave(a.slave);
    inside.wait();
    std::thread opener([&] { go_on.count_down(); });
    if (is_destroyed) {
      pending.reset();
    } else {
      pending->cancel();
    }
    CHECK_FALSE(is_inside);
    opener.join();
    CHECK(slaves.reserve({.deadline = no_wait}));  // it did not keep the slave that its filter accepted
    CHECK(slaves.remove_slave(*a.slave));
  }
}

TEST_CASE("a started request looks at all slaves before the call returns, and chooses the best by compare") {
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  for (const char* name : {"a", "c", "b"}) slaves.add_slave(fakes.emplace_back(name).slave);
  const std::thread::id here = std::this_thread::get_id();
  int looks = 0;
  const SlaveFilter counts = [&](const Slave&) {
    CHECK(std::this_thread::get_id() == here);
    return ++looks > 0;
  };
  auto pending = slaves.start_reserve(
      {.filter = counts, .compare = [](const Slave& x, const Slave& y) { return x.name() > y.name(); }});
  CHECK(looks == 3);
  CHECK(pending.wait_until(no_wait));
  CHECK(pending.wait()->name() == "c");
}

TEST_CASE("a filter may destroy its own request") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  std::promise<void> destroyed;
  std::latch has_started(1);
  std::optional<Pending<Lease>> pending;
  pending = slaves.start_reserve({.filter = [&](const Slave&) {
    has_started.wait();
    pending.reset();
    destroyed.set_value();
    return true;
  }});
  has_started.count_down();
  slaves.add_slave(a.slave);
  REQUIRE(destroyed.get_future().wait_for(ample) == std::future_status::ready);
  CHECK(slaves.start_reserve({}).wait().slave() == a.slave);
}

TEST_CASE("a CompletionQueue drives started requests in one thread, and their leases what follows") {
  SlaveCollection slaves;
  CompletionQueue queue;
  std::vector<FakeSlave> fakes;
  constexpr int jobs = 50;
  int done = 0;
  for (int i = 0; i < jobs; ++i) {
    slaves.start_reserve({.owner = "job " + std::to_string(i)}).then(queue, [&](auto pending) {
      const Lease lease = pending.wait();
      lease->mkdir("d");
      ++done;
    });
  }
  while (queue.run_one(no_wait)) {
  }
  CHECK(queue.size() == jobs);
  for (const char* name : {"a", "b", "c"}) slaves.add_slave(fakes.emplace_back(name).slave);
  queue.run();
  CHECK(done == jobs);
  for (const SlaveStatus& status : slaves.snapshot()) CHECK_FALSE(status.reserved);
}

TEST_CASE("a started request may outlive its collection: it fails, and a lease that it has is empty of obligations") {
  const FakeSlave a("a");
  std::optional<Pending<Lease>> reserved;
  std::optional<Pending<std::shared_ptr<Slave>>> waiting;
  std::optional<Pending<Lease>> unread;
  std::stop_source stop;
  {
    SlaveCollection slaves;
    slaves.add_slave(a.slave);
    reserved = slaves.start_reserve({});
    wait_until_reserved(slaves, true);
    waiting = slaves.start_get_slave({.filter = named("b"), .deadline = 1h, .stop = stop.get_token()});
    unread = slaves.start_reserve({.filter = named("b")});
  }
  stop.request_stop();
  CHECK_THROWS_AS(static_cast<void>(waiting->wait()), Cancelled);
  Lease lease = reserved->wait();
  CHECK(lease.slave() == a.slave);
  lease.release();
  unread.reset();
  CHECK(a.slave.use_count() == 1);
}

TEST_CASE("however started requests, threads and cancels race, a slave is one's alone and nobody waits in vain") {
  constexpr int workers = 3;
  constexpr int rounds = 200;
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  std::atomic<int> holders[2] = {0, 0};
  for (const char* name : {"0", "1"}) slaves.add_slave(fakes.emplace_back(name).slave);
  std::atomic<bool> shared = false;
  const auto use = [&](const Lease& lease) {
    if (!lease) return;
    std::atomic<int>& count = holders[lease->name() == "1" ? 1 : 0];
    if (count.fetch_add(1) != 0) shared = true;
    std::this_thread::yield();
    count.fetch_sub(1);
  };
  std::vector<std::thread> threads;
  for (int w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      for (int round = 0; round < rounds; ++round) {
        auto pending = slaves.start_reserve({.filter = round % 3 == 0 ? named("1") : SlaveFilter()});
        if ((round + w) % 4 == 0) pending.cancel();
        if ((round + w) % 4 == 1) use(slaves.reserve({.deadline = 100us}));
        if ((round + w) % 4 == 2) continue;
        if ((round + w) % 4 == 0) {
          CHECK_THROWS_AS(static_cast<void>(pending.wait()), Cancelled);
        } else {
          use(pending.wait());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(shared);
  CHECK(slaves.reserve({.filter = named("0"), .deadline = no_wait}));
  CHECK(slaves.reserve({.filter = named("1"), .deadline = no_wait}));
}
