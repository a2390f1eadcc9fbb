// Shares of slaves: slots and counted resources that several callers reserve.
#include <remsh/master/slave_collection.hpp>

#include "support/ample.hpp"
#include "support/fake_backend.hpp"
#include "support/has.hpp"
#include "support/told_notices.hpp"
#include "unit/master/name_starts_with.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;
using remsh::test::has;
using remsh::test::name_starts_with;
using remsh::test::ToldNotices;

namespace {

using Amounts = std::map<std::string, std::uint64_t>;

FakeSlave with_shares(const std::string& name, std::uint64_t slots, const Amounts& resources = {}) {
  return FakeSlave(SlaveInfo{.name = name, .slots = slots, .resources = resources});
}

Lease slot_of(SlaveCollection& slaves, const std::string& owner = {}) {
  return slaves.reserve({.owner = owner, .deadline = no_wait, .slots = 1});
}

/// Waits until a caller waits for more of the only slave than is free.
void wait_until_kept(const SlaveCollection& slaves) {
  while (!slaves.snapshot().at(0).kept) std::this_thread::yield();
}

std::string why_no_share(SlaveCollection& slaves, std::uint64_t slots, const Amounts& resources,
                         const SlaveFilter& filter = {}) {
  try {
    static_cast<void>(slaves.reserve(
        {.filter = filter, .deadline = no_wait, .explain = true, .slots = slots, .resources = resources}));
  } catch (const Timeout& timeout) {
    return timeout.message();
  }
  return "a share";
}

}  // namespace

TEST_CASE("several callers have shares of a slave, as many as there are, and give them back with their leases") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2, {{"gpu", 1}});
  slaves.add_slave(a.slave);
  Lease first = slot_of(slaves, "job 1");
  Lease second = slaves.reserve({.owner = "job 2", .deadline = no_wait, .slots = 1, .resources = {{"gpu", 1}}});
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first.slave() == a.slave);
  CHECK_FALSE(slot_of(slaves));
  CHECK_FALSE(slaves.reserve({.deadline = no_wait, .resources = {{"gpu", 1}}}));
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  SlaveStatus status = slaves.snapshot().at(0);
  CHECK_FALSE(status.reserved);
  REQUIRE(status.shares.size() == 2);
  CHECK(status.shares[0].owner == "job 1");
  CHECK(status.shares[0].slots == 1);
  CHECK(status.shares[0].resources.empty());
  CHECK(status.shares[1].owner == "job 2");
  CHECK(status.shares[1].resources == Amounts{{"gpu", 1}});
  first.release();
  CHECK(slot_of(slaves));
  second.release();
  CHECK(slaves.snapshot().at(0).shares.empty());
  const Lease whole = slaves.reserve({.owner = "job 3", .deadline = no_wait});
  REQUIRE(whole);
  CHECK(slaves.snapshot().at(0).reserved_by == "job 3");
  CHECK_FALSE(slot_of(slaves));
  CHECK_FALSE(slaves.reserve({.deadline = no_wait, .resources = {{"gpu", 1}}}));
}

TEST_CASE("a slave that announces nothing has one slot and no resources") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  CHECK_FALSE(slaves.reserve({.deadline = no_wait, .resources = {{"gpu", 1}}}));
  CHECK_FALSE(slaves.reserve({.deadline = no_wait, .slots = 2}));
  const Lease lease = slot_of(slaves);
  CHECK(lease);
  CHECK_FALSE(slot_of(slaves));
}

TEST_CASE("filters and comparisons choose among the slaves that have enough") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 4, {{"gpu", 1}});
  const FakeSlave b = with_shares("b", 4, {{"gpu", 2}});
  const FakeSlave c = with_shares("c", 4);
  for (const FakeSlave* one : {&a, &b, &c}) slaves.add_slave(one->slave);
  const SlaveCompare last = [](const Slave& one, const Slave& other) { return one.name() > other.name(); };
  const Lease two = slaves.reserve({.deadline = no_wait, .resources = {{"gpu", 2}}});
  CHECK(two.slave() == b.slave);
  const Lease one = slaves.reserve({.compare = last, .deadline = no_wait, .resources = {{"gpu", 1}}});
  CHECK(one.slave() == a.slave);
  const Lease best = slaves.reserve({.compare = last, .deadline = no_wait, .slots = 4});
  CHECK(best.slave() == c.slave);
  const Lease filtered = slaves.reserve({.filter = name_starts_with("b"), .deadline = no_wait, .slots = 3});
  CHECK(filtered.slave() == b.slave);
}

TEST_CASE("get_slave() returns a slave of which nobody has a share, or one that has enough free, and takes nothing") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2);
  slaves.add_slave(a.slave);
  const Lease lease = slot_of(slaves);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK(slaves.get_slave({.deadline = no_wait, .slots = 1}) == a.slave);
  CHECK(slaves.get_slave({.deadline = no_wait, .slots = 1}) == a.slave);
  CHECK(slaves.get_slave({.deadline = no_wait, .slots = 2}) == nullptr);
  CHECK(slaves.start_get_slave({.slots = 1}).wait() == a.slave);
}

TEST_CASE("a share of nothing, or of slots as a resource, is a mistake of the caller's") {
  SlaveCollection slaves;
  for (const Amounts& wrong : {Amounts{{"gpu", 0}}, Amounts{{"slots", 1}}}) {
    CHECK_THROWS_AS(static_cast<void>(slaves.reserve({.deadline = no_wait, .resources = wrong})), Error);
    CHECK_THROWS_AS(static_cast<void>(slaves.get_slave({.deadline = no_wait, .resources = wrong})), Error);
    CHECK_THROWS_AS(static_cast<void>(slaves.start_reserve({.resources = wrong})), Error);
  }
}

TEST_CASE("who waits for a whole slave is not starved by those who want shares of it") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2);
  slaves.add_slave(a.slave);
  Lease first = slot_of(slaves);
  Lease second = slot_of(slaves);
  auto whole = slaves.start_reserve({.owner = "job 3"});
  first.release();
  wait_until_kept(slaves);
  CHECK_FALSE(slot_of(slaves));  // although one is free
  CHECK(has(why_no_share(slaves, 1, {}), "'a' (kept for an earlier request)"));
  auto behind = slaves.start_reserve({.slots = 1});
  second.release();
  Lease all = whole.wait();
  REQUIRE(all);
  CHECK(slaves.snapshot().at(0).reserved_by == "job 3");
  CHECK_FALSE(slaves.snapshot().at(0).kept);
  all.release();
  CHECK(behind.wait());
}

TEST_CASE("who waits for much of a resource is not starved by those who want little, and keeps one slave only") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 1, {{"gpu", 2}});
  slaves.add_slave(a.slave);
  const auto one_gpu = [&] { return slaves.reserve({.deadline = no_wait, .resources = {{"gpu", 1}}}); };
  Lease first = one_gpu();
  Lease second = one_gpu();
  auto both = slaves.start_reserve({.resources = {{"gpu", 2}}});
  first.release();
  wait_until_kept(slaves);
  CHECK_FALSE(one_gpu());
  const FakeSlave b = with_shares("b", 1, {{"gpu", 1}});  // has too little for the one that waits
  slaves.add_slave(b.slave);
  const Lease other = one_gpu();
  CHECK(other.slave() == b.slave);
  second.release();
  CHECK(both.wait().slave() == a.slave);
}

TEST_CASE("a caller that gives up, or gets another slave, leaves the one that was kept for it to the others") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2);
  slaves.add_slave(a.slave);
  Lease first = slot_of(slaves);
  const Lease second = slot_of(slaves);
  {
    auto whole = slaves.start_reserve({});
    first.release();
    wait_until_kept(slaves);
    auto behind = slaves.start_reserve({.slots = 1});
    CHECK_FALSE(behind.is_done());
    whole.cancel();
    first = behind.wait();
    REQUIRE(first);
  }
  auto whole = slaves.start_reserve({});
  first.release();
  wait_until_kept(slaves);
  const FakeSlave b("b");
  slaves.add_slave(b.slave);
  const Lease got = whole.wait();
  CHECK(got.slave() == b.slave);
  CHECK(slot_of(slaves).slave() == a.slave);
}

TEST_CASE("a slave that is kept and paused, or leaves, is kept no longer, and is kept again when it is back") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2);
  slaves.add_slave(a.slave);
  Lease first = slot_of(slaves);
  Lease second = slot_of(slaves);
  auto whole = slaves.start_reserve({});
  first.release();
  wait_until_kept(slaves);
  slaves.pause("a", "its disk is full");
  CHECK_FALSE(slaves.snapshot().at(0).kept);
  CHECK_FALSE(slot_of(slaves));
  CHECK(slaves.snapshot().at(0).shares.size() == 1);
  slaves.resume("a");
  wait_until_kept(slaves);
  slaves.remove_slave(*a.slave);
  second.release();  // of nothing
  slaves.add_slave(a.slave);
  CHECK(whole.wait().slave() == a.slave);
}

TEST_CASE("a share of a paused slave goes on, and given back it is free when the slave is in service again") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 1);
  slaves.add_slave(a.slave);
  Lease lease = slot_of(slaves);
  slaves.pause("a", "its disk is full");
  CHECK(lease->is_connected());
  lease.release();
  CHECK_FALSE(slot_of(slaves));
  slaves.resume("a");
  CHECK(slot_of(slaves));
}

TEST_CASE("a slave that drains is let go when the last share of it is given back") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2);
  slaves.add_slave(a.slave);
  Lease first = slot_of(slaves);
  Lease second = slot_of(slaves);
  a.backend->drain("maintenance");
  CHECK_FALSE(slaves.get_slave({.deadline = no_wait, .slots = 1}));
  first.release();
  CHECK(a->is_connected());
  second.release();
  CHECK_FALSE(a->is_connected());
  CHECK(slaves.size() == 0);
}

TEST_CASE("a notice says of each share who has reserved or released it, and of a lost slave who had shares") {
  ToldNotices told;
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 3);
  const auto subscription = slaves.on_change(std::ref(told));
  slaves.add_slave(a.slave);
  Lease first = slot_of(slaves, "job 1");
  const Lease second = slot_of(slaves, "job 2");
  const Lease third = slot_of(slaves, "job 3");
  first.release();
  a.backend->lose({Errc::connection_lost, "the cable was pulled", 0, DisconnectReason::cut});
  CHECK(told.first(6) == std::vector<std::string>{"a arrived", "a reserved for job 1", "a reserved for job 2",
                                                  "a reserved for job 3", "a released for job 1",
                                                  "a left for job 2, job 3 (cut): the cable was pulled"});
}

TEST_CASE("a share is free when the operations have ended that its holder has left, whatever others run") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2);
  slaves.add_slave(a.slave);
  std::promise<void> begun;
  std::promise<void> go_on;
  a.backend->on<operations::Stat>([&](const auto&, const auto&, const auto&) {
    begun.set_value();
    go_on.get_future().wait();
    return Result<operations::Stat::Reply>(operations::Stat::Reply{});
  });
  a.backend->on<operations::Execute>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::timeout, "the deadline passed", 0};
  });
  Lease other = slot_of(slaves, "job 1");
  Lease lease = slot_of(slaves, "job 2");
  std::thread runs([&] { static_cast<void>(other->stat("file")); });
  begun.get_future().wait();
  a.backend->go_on();
  CHECK_THROWS_AS(static_cast<void>(lease->execute({"make"}, {.deadline = 1ms})), Timeout);
  lease.release();
  CHECK_FALSE(slot_of(slaves));
  CHECK(slaves.snapshot().at(0).shares.at(1).releasing);
  a.backend->answer();
  lease = slot_of(slaves);  // while job 1 still runs
  CHECK(lease);
  lease.release();
  CHECK(slot_of(slaves));
  go_on.set_value();
  runs.join();
}

TEST_CASE("with explain a request for a share says what nobody announces, and what is in use") {
  SlaveCollection slaves;
  const FakeSlave a = with_shares("a", 2, {{"gpu", 1}});
  slaves.add_slave(a.slave);
  CHECK(why_no_share(slaves, 0, {{"tape", 1}}) ==
        "no slave: the collection has 1 slave, which does not announce the resource 'tape': start slaves with "
        "--resource, or set SlaveOptions::resources");
  CHECK(why_no_share(slaves, 0, {{"gpu", 2}}) ==
        "no slave: the collection has 1 slave, which announces less than gpu=2");
  const FakeSlave b("b");
  slaves.add_slave(b.slave);
  CHECK(why_no_share(slaves, 1, {{"tape", 1}}) ==
        "no slave: the collection has 2 slaves, none of which announces the resource 'tape': start slaves with "
        "--resource, or set SlaveOptions::resources");
  CHECK(why_no_share(slaves, 2, {{"gpu", 2}}) ==
        "no slave: the collection has 2 slaves, none of which announces gpu=2 slots=2");
  Lease first = slaves.reserve({.owner = "job 1", .deadline = no_wait, .slots = 1, .resources = {{"gpu", 1}}});
  CHECK(
      why_no_share(slaves, 2, {{"gpu", 1}}) ==
      "no slave: the collection has 2 slaves, of which 1 announces less than gpu=1 slots=2; 1 would do but is in use: "
      "'a' (0 of 1 gpu free, 1 of 2 slots free; reserved for 'job 1')");
  CHECK(why_no_share(slaves, 2, {}, name_starts_with("b")) ==
        "no slave: the collection has 2 slaves, of which 1 announces less than slots=2 and the filter excludes 1");
  const Lease rest = slaves.reserve({.filter = name_starts_with("b"), .deadline = no_wait});
  CHECK(why_no_share(slaves, 0, {}) ==
        "no slave: the collection has 2 slaves; 1 is reserved: 'b'; 1 is in use: 'a' (shares of it are reserved; "
        "reserved for 'job 1')");
}

TEST_CASE("whatever is reserved and given back in whatever order, no slave is overcommitted, and nothing is lost") {
  std::minstd_rand random(17);
  const auto below = [&random](std::uint64_t limit) { return random() % limit; };
  struct Held {
    Lease lease;
    std::uint64_t slots;  // 0: the whole
    std::uint64_t gpus;
  };
  for (int run = 0; run < 40; ++run) {
    SlaveCollection slaves;
    std::map<std::string, FakeSlave> fakes;
    for (const char* name : {"a", "b", "c"}) {
      const std::uint64_t gpus = below(4);
      fakes.emplace(name, with_shares(name, 1 + below(4), gpus > 0 ? Amounts{{"gpu", gpus}} : Amounts{}));
      slaves.add_slave(fakes.at(name).slave);
    }
    const auto capacity = [&](const std::string& name, const std::string& resource) {
      const SlaveInfo& info = fakes.at(name).slave->info();
      const auto count = info.resources.find(resource);
      return resource == "slots" ? info.slots : count == info.resources.end() ? 0 : count->second;
    };
    std::vector<Held> all;
    const auto in_use = [&](const std::string& name, std::uint64_t Held::*amount) {
      std::uint64_t sum = 0;
      for (const Held& held : all) {
        if (held.lease->name() == name) sum += held.*amount;
      }
      return sum;
    };
    const auto count_of = [&](const std::string& name) {
      return std::count_if(all.begin(), all.end(), [&](const Held& held) { return held.lease->name() == name; });
    };
    std::set<std::string> paused;
    for (int step = 0; step < 200; ++step) {
      const std::uint64_t what = below(10);
      const std::string name(1, static_cast<char>('a' + below(3)));
      if (what < 5) {
        const std::uint64_t slots = below(4);
        const std::uint64_t gpus = below(3);
        const bool is_whole = slots == 0 && gpus == 0;
        const auto fits = [&](const std::string& slave) {
          if (paused.contains(slave)) return false;
          if (is_whole) return count_of(slave) == 0;
          const bool is_taken = std::any_of(all.begin(), all.end(), [&](const Held& held) {
            return held.lease->name() == slave && held.slots == 0 && held.gpus == 0;
          });
          return !is_taken && in_use(slave, &Held::slots) + slots <= capacity(slave, "slots") &&
                 in_use(slave, &Held::gpus) + gpus <= capacity(slave, "gpu");
        };
        Lease lease = slaves.reserve(
            {.deadline = no_wait, .slots = slots, .resources = gpus > 0 ? Amounts{{"gpu", gpus}} : Amounts{}});
        CHECK(static_cast<bool>(lease) == (fits("a") || fits("b") || fits("c")));
        if (!lease) continue;
        CHECK(fits(lease->name()));
        all.push_back({std::move(lease), slots, gpus});
      } else if (what < 8 && !all.empty()) {
        const auto at = all.begin() + static_cast<std::ptrdiff_t>(below(all.size()));
        if (what == 7) {
          at->lease.release_now();
        } else {
          at->lease.release();
        }
        all.erase(at);
      } else if (what == 8) {
        slaves.pause(name, "the model says so");
        paused.insert(name);
        if (below(2) == 0) continue;
        slaves.resume(name);
        paused.erase(name);
      } else if (what == 9) {
        std::erase_if(all, [&](const Held& held) { return held.lease->name() == name; });
        slaves.remove_slave(*fakes.at(name).slave);
        slaves.add_slave(fakes.at(name).slave);
      }
    }
    all.clear();
    for (const SlaveStatus& status : slaves.snapshot()) {
      CHECK(status.shares.empty());
      CHECK_FALSE(status.reserved);
    }
  }
}

TEST_CASE("threads that wait for shares and for whole slaves all get theirs, and never more than there is") {
  SlaveCollection slaves;
  std::map<std::string, FakeSlave> fakes;
  for (const char* name : {"a", "b"}) {
    fakes.emplace(name, with_shares(name, 3));
    slaves.add_slave(fakes.at(name).slave);
  }
  std::map<std::string, std::atomic<int>> in_use;
  in_use["a"] = 0;
  in_use["b"] = 0;
  std::atomic<int> overcommitted = 0;
  std::atomic<int> timed_out = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 100; ++round) {
        const std::uint64_t slots = static_cast<std::uint64_t>((i + round) % 4);  // 0: the whole
        const int amount = slots == 0 ? 3 : static_cast<int>(slots);
        const Lease lease = slaves.reserve({.deadline = ample, .slots = slots});
        if (!lease) {
          ++timed_out;
          continue;
        }
        std::atomic<int>& used = in_use.at(lease->name());
        if ((used += amount) > 3) ++overcommitted;
        used -= amount;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(overcommitted == 0);
  CHECK(timed_out == 0);
  for (const SlaveStatus& status : slaves.snapshot()) CHECK(status.shares.empty());
}
