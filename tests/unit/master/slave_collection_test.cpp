// SlaveCollection: who gets which slave, and when.
#include <remsh/master/slave_collection.hpp>

#include "support/fake_backend.hpp"
#include "unit/master/name_starts_with.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::FakeBackend;
using remsh::test::FakeSlave;
using remsh::test::name_starts_with;

namespace {

/// A filter that others can follow: which slaves it has been shown.
class Shown {
 public:
  explicit Shown(SlaveFilter filter) : filter_(std::move(filter)) {}

  SlaveFilter filter() {
    return [this](const Slave& slave) {
      {
        const std::lock_guard lock(mutex_);
        ++shown_[slave.name()];
      }
      changed_.notify_all();
      return filter_(slave);
    };
  }

  void wait_for(const std::string& name) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return shown_.contains(name); });
  }

  int times(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return shown_[name];
  }

 private:
  SlaveFilter filter_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> shown_;
};

/// A thread that waits in the collection's queue when the constructor returns: it was shown one slave when it looked,
/// and one that came after it had.
class Queued {
 public:
  Queued(SlaveCollection& slaves, SlaveFilter filter, const std::function<void(const SlaveFilter&)>& ask)
      : shown_([filter = std::move(filter)](const Slave& slave) {
          return !slave.name().starts_with("probe") && filter(slave);
        }) {
    FakeSlave first("probe1");
    FakeSlave second("probe2");
    slaves.add_slave(first.slave);
    thread_ = std::thread([this, ask] { ask(shown_.filter()); });
    shown_.wait_for("probe1");
    slaves.add_slave(second.slave);
    shown_.wait_for("probe2");
    slaves.remove_slave(*first.slave);
    slaves.remove_slave(*second.slave);
  }
  ~Queued() { join(); }

  void join() {
    if (thread_.joinable()) thread_.join();
  }

  Shown& shown() { return shown_; }

 private:
  Shown shown_;
  std::thread thread_;
};

std::vector<std::string> names(const std::vector<std::shared_ptr<Slave>>& slaves) {
  std::vector<std::string> result;
  for (const auto& slave : slaves) result.push_back(slave->name());
  return result;
}

const SlaveFilter anyone = [](const Slave&) { return true; };

}  // namespace

TEST_CASE("slaves are listed in the order in which they came") {
  SlaveCollection slaves;
  const FakeSlave b("b");
  const FakeSlave a("a");
  const FakeSlave c("c");
  const std::uint64_t version_before = slaves.version();
  CHECK(slaves.add_slave(b.slave));
  CHECK(slaves.add_slave(a.slave));
  CHECK(slaves.add_slave(c.slave));
  CHECK(slaves.version() == version_before + 3);
  CHECK(names(slaves.get_all_slaves()) == std::vector<std::string>{"b", "a", "c"});
  CHECK(slaves.size() == 3);
  CHECK(slaves.find("a") == a.slave);
  CHECK(slaves.find("d") == nullptr);

  CHECK(slaves.remove_slave(*a.slave));
  CHECK_FALSE(slaves.remove_slave(*a.slave));
  CHECK(slaves.version() == version_before + 4);
  CHECK(names(slaves.get_all_slaves()) == std::vector<std::string>{"b", "c"});
  CHECK(slaves.find("a") == nullptr);
  CHECK(a->is_connected());
  CHECK(slaves.add_slave(a.slave));
  CHECK(names(slaves.get_all_slaves()) == std::vector<std::string>{"b", "c", "a"});
}

TEST_CASE("a slave is added once, and another of its name not at all") {
  SlaveCollection slaves;
  const FakeSlave one("a");
  const FakeSlave other("a");
  CHECK(slaves.add_slave(one.slave));
  CHECK_FALSE(slaves.add_slave(one.slave));
  CHECK_THROWS_AS(slaves.add_slave(other.slave), Error);
  CHECK_FALSE(slaves.remove_slave(*other.slave));
  CHECK_THROWS_AS(slaves.add_slave(nullptr), Error);
  CHECK(slaves.size() == 1);
  one.backend->lose({});
  CHECK(slaves.add_slave(other.slave));
  CHECK(slaves.find("a") == other.slave);
}

TEST_CASE("a collection asks once to be told of the end of a slave, however often that is put back") {
  struct AskedBackend : FakeBackend {
    void on_lost(std::unique_ptr<LostCallback> callback) override {
      ++asked;
      FakeBackend::on_lost(std::move(callback));
    }
    int asked = 0;
  };
  const auto backend = std::make_shared<AskedBackend>();
  const auto slave = std::make_shared<Slave>(SlaveInit({.name = "a"}, backend));
  SlaveCollection slaves;
  for (int i = 0; i < 3; ++i) {
    CHECK(slaves.add_slave(slave));
    CHECK(slaves.remove_slave(*slave));
  }
  CHECK(slaves.add_slave(slave));
  SlaveCollection others;
  CHECK(others.add_slave(slave));
  CHECK(backend->asked == 2);
  backend->lose({});
  CHECK(slaves.size() == 0);
  CHECK(others.size() == 0);
  CHECK_FALSE(slaves.add_slave(slave));
}

TEST_CASE("a slave that was taken out again is not kept by the notice of its end") {
  FakeSlave one("a");
  SlaveCollection slaves;
  CHECK(slaves.add_slave(one.slave));
  CHECK(slaves.remove_slave(*one.slave));
  const std::weak_ptr<Slave> seen = one.slave;
  bool is_gone = false;
  one->on_disconnect([&] {
    one.slave.reset();
    is_gone = seen.expired();
  });
  one.backend->lose({});
  CHECK(is_gone);
}

TEST_CASE("a slave leaves when its connection ends, and a lost one is not let in") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  const std::uint64_t version_before = slaves.version();
  a.backend->lose({});
  CHECK(slaves.size() == 0);
  CHECK(slaves.version() == version_before + 1);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK_FALSE(slaves.add_slave(a.slave));
  CHECK(slaves.size() == 0);
}

TEST_CASE("between the end of a slave and its notice nobody gets it, and another may have its name") {
  SlaveCollection slaves;
  const FakeSlave old("a");
  const FakeSlave other("a");
  slaves.add_slave(old.slave);
  old.backend->lose({}, [&] {
    CHECK(slaves.get_slave(no_wait) == nullptr);
    CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
    CHECK(slaves.add_slave(other.slave));
  });
  CHECK(slaves.find("a") == other.slave);
  CHECK(slaves.size() == 1);
  CHECK(slaves.reserve({.deadline = no_wait}));
}

TEST_CASE("a slave that is lost while it is added does not stay") {
  for (int round = 0; round < 300; ++round) {
    SlaveCollection slaves;
    const FakeSlave a("a");
    std::thread loser([&] { a.backend->lose({}); });
    slaves.add_slave(a.slave);
    loser.join();
    CHECK(slaves.size() == 0);
  }
}

TEST_CASE("without a wish any slave will do, and each has its turn") {
  SlaveCollection slaves;
  CHECK(slaves.get_slave(no_wait) == nullptr);
  std::vector<FakeSlave> fakes;
  for (const char* name : {"a", "b", "c"}) slaves.add_slave(fakes.emplace_back(name).slave);
  std::set<std::string> seen;
  for (int i = 0; i < 300; ++i) seen.insert(slaves.get_slave(no_wait)->name());
  CHECK(seen.size() == 3);  // or a chance of 1 in 10^52
}

TEST_CASE("the filter decides who will do, and compare who is best") {
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  for (const char* name : {"linux2", "bsd9", "linux7", "linux5"}) slaves.add_slave(fakes.emplace_back(name).slave);
  CHECK(slaves.get_slave(no_wait, name_starts_with("bsd"))->name() == "bsd9");
  CHECK(slaves.get_slave(no_wait, name_starts_with("windows")) == nullptr);
  const SlaveCompare higher = [](const Slave& a, const Slave& b) { return a.name() > b.name(); };
  CHECK(slaves.get_slave({.compare = higher, .deadline = no_wait})->name() == "linux7");
  CHECK(slaves.get_slave({.filter = name_starts_with("bsd"), .compare = higher, .deadline = no_wait})->name() ==
        "bsd9");
  CHECK(slaves.get_slave({.filter = name_starts_with("windows"), .compare = higher, .deadline = no_wait}) == nullptr);
  const Lease best = slaves.reserve({.compare = higher, .deadline = no_wait});
  const Lease next = slaves.reserve({.compare = higher, .deadline = no_wait});
  CHECK(best->name() == "linux7");
  CHECK(next->name() == "linux5");
}

TEST_CASE("filters run without a lock, and may use the collection") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  const SlaveFilter nosy = [&](const Slave& slave) {
    return slaves.size() == 1 && slaves.get_all_slaves().size() == 1 && slaves.find(slave.name()) &&
           slaves.snapshot().size() == 1 && slaves.get_slave(no_wait) == a.slave &&
           slaves.reserve({.deadline = no_wait});
  };
  CHECK(slaves.get_slave(no_wait, nosy) == a.slave);
  CHECK(slaves.reserve({.filter = nosy, .deadline = no_wait}));
}

TEST_CASE("a slave is destroyed without a lock") {
  struct Nosy : Slave {
    Nosy(SlaveInit init, SlaveCollection& where) : Slave(std::move(init)), slaves(where) {}
    ~Nosy() override { static_cast<void>(slaves.size()); }
    SlaveCollection& slaves;
  };
  SlaveCollection slaves;
  auto nosy = std::make_shared<Nosy>(SlaveInit({.name = "a"}, std::make_shared<FakeBackend>()), slaves);
  slaves.add_slave(nosy);
  static_cast<void>(slaves.get_all_slaves());  // leaves a copy of the list behind
  const std::weak_ptr<Slave> weak = nosy;
  Slave& slave = *nosy;
  nosy.reset();
  slaves.remove_slave(slave);
  CHECK(weak.expired());
}

TEST_CASE("who waits gets the slave that comes") {
  SlaveCollection slaves;
  const FakeSlave unwanted("bsd");
  const FakeSlave wanted("linux");
  std::shared_ptr<Slave> got;
  Queued waiter(slaves, name_starts_with("linux"),
                [&](const SlaveFilter& filter) { got = slaves.get_slave(block, filter); });
  slaves.add_slave(unwanted.slave);
  slaves.add_slave(wanted.slave);
  waiter.join();
  CHECK(got == wanted.slave);
}

TEST_CASE("a deadline that passes gives nothing") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  CHECK(slaves.get_slave(5ms, name_starts_with("b")) == nullptr);
  CHECK_FALSE(slaves.reserve({.filter = name_starts_with("b"), .deadline = 5ms}));
  CHECK_FALSE(slaves.reserve({.filter = name_starts_with("b"), .deadline = no_wait}));
}

TEST_CASE("a stop ends the wait with Cancelled") {
  SlaveCollection slaves;
  std::stop_source stop;
  std::atomic<int> cancelled = 0;
  const auto attempt = [&](const std::function<void()>& operation) {
    try {
      operation();
    } catch (const Cancelled&) {
      ++cancelled;
    }
  };
  {
    // The first has nothing more to look at when the second is shown something, so it sleeps when the stop comes.
    const auto ask = [&](const SlaveFilter& filter) {
      attempt([&] { static_cast<void>(slaves.get_slave({.filter = filter, .stop = stop.get_token()})); });
    };
    const Queued first(slaves, anyone, ask);
    const Queued second(slaves, anyone, ask);
    stop.request_stop();
  }
  CHECK(cancelled == 2);
  attempt([&] { static_cast<void>(slaves.reserve({.stop = stop.get_token()})); });
  attempt([&] { static_cast<void>(slaves.get_slave({.deadline = no_wait, .stop = stop.get_token()})); });
  attempt([&] { slaves.wait_for_change(slaves.version(), block, stop.get_token()); });
  attempt([&] { slaves.wait_for_slaves(1, block, stop.get_token()); });
  CHECK(cancelled == 6);
}

TEST_CASE("nobody else gets a reserved slave until it is released") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  const std::uint64_t version_before = slaves.version();
  Lease lease = slaves.reserve({.owner = "job 7", .deadline = no_wait});
  REQUIRE(lease);
  CHECK(lease.slave() == a.slave);
  CHECK(slaves.version() == version_before + 1);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  CHECK(slaves.find("a") == a.slave);
  CHECK(slaves.get_all_slaves().size() == 1);
  std::vector<SlaveStatus> statuses = slaves.snapshot();
  REQUIRE(statuses.size() == 1);
  CHECK(statuses[0].info.name == "a");
  CHECK(statuses[0].reserved);
  CHECK(statuses[0].reserved_by == "job 7");

  lease.release();
  CHECK_FALSE(lease);
  CHECK(slaves.version() == version_before + 2);
  lease.release();
  CHECK(slaves.version() == version_before + 2);
  CHECK(slaves.get_slave(no_wait) == a.slave);
  statuses = slaves.snapshot();
  CHECK_FALSE(statuses[0].reserved);
  CHECK(statuses[0].reserved_by.empty());
}

TEST_CASE("a lease releases when it goes or takes another, and not when it is moved") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  slaves.add_slave(a.slave);
  slaves.add_slave(b.slave);
  {
    Lease first = slaves.reserve({.filter = name_starts_with("a"), .deadline = no_wait});
    Lease moved = std::move(first);
    CHECK_FALSE(slaves.reserve({.filter = name_starts_with("a"), .deadline = no_wait}));
    moved = slaves.reserve({.filter = name_starts_with("b"), .deadline = no_wait});
    CHECK(slaves.get_slave(no_wait) == a.slave);
    CHECK(moved.slave() == b.slave);
  }
  CHECK(slaves.reserve({.filter = name_starts_with("b"), .deadline = no_wait}));
}

TEST_CASE("a lease of a lost slave is released, and still points to it") {
  SlaveCollection slaves;
  const FakeSlave old("a");
  slaves.add_slave(old.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  old.backend->lose({});
  CHECK(lease);
  CHECK_FALSE(lease->is_connected());
  CHECK(slaves.snapshot().empty());

  const FakeSlave again("a");
  slaves.add_slave(again.slave);
  const Lease of_again = slaves.reserve({.deadline = no_wait});
  CHECK(of_again.slave() == again.slave);
  lease.release();  // has nothing to do with the new one
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
}

TEST_CASE("a slave that is taken out while reserved comes back free") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  CHECK(slaves.remove_slave(*a.slave));
  CHECK(slaves.add_slave(a.slave));
  const Lease other = slaves.reserve({.deadline = no_wait});
  CHECK(other);
  lease.release();
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
}

TEST_CASE("leases and slaves may outlive the collection") {
  const FakeSlave a("a");
  Lease lease;
  {
    SlaveCollection slaves;
    slaves.add_slave(a.slave);
    lease = slaves.reserve({.deadline = no_wait});
  }
  CHECK(a->is_connected());
  a.backend->lose({});
  lease.release();
  CHECK(a.slave.use_count() == 1);
}

TEST_CASE("a collection that goes lets go of its slaves") {
  auto fake = std::make_unique<FakeSlave>("a");
  const std::weak_ptr<Slave> weak = fake->slave;
  const auto backend = fake->backend;
  {
    SlaveCollection slaves;
    slaves.add_slave(fake->slave);
    fake.reset();
    CHECK_FALSE(weak.expired());
  }
  CHECK(weak.expired());
  CHECK(backend->lost());
}

TEST_CASE("a released slave goes to those who wait, first come, first served") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  std::mutex mutex;
  std::vector<int> order;
  std::vector<std::unique_ptr<Queued>> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.push_back(std::make_unique<Queued>(slaves, anyone, [&, i](const SlaveFilter& filter) {
      const Lease mine = slaves.reserve({.filter = filter});
      const std::lock_guard lock(mutex);
      order.push_back(i);
    }));
  }
  lease.release();
  // Who comes now goes to the end of the queue.
  lease = slaves.reserve({});
  {
    const std::lock_guard lock(mutex);
    CHECK(order == std::vector{0, 1, 2, 3, 4});
  }
  for (const auto& waiter : waiters) waiter->join();
}

TEST_CASE("a newcomer is shown to one waiter after the other until one takes it") {
  SlaveCollection slaves;
  std::atomic<int> served = 0;
  std::vector<std::unique_ptr<Queued>> waiters;
  for (int i = 0; i < 6; ++i) {
    waiters.push_back(
        std::make_unique<Queued>(slaves, name_starts_with("s" + std::to_string(i)), [&](const SlaveFilter& filter) {
          const Lease lease = slaves.reserve({.filter = filter});
          served += lease ? 1 : 0;
        }));
  }
  std::vector<FakeSlave> fakes;
  slaves.add_slave(fakes.emplace_back("s3").slave);
  waiters[3]->join();
  for (std::size_t i = 0; i < 6; ++i) {
    // Those behind may see it once it is released again.
    if (i <= 3) CHECK(waiters[i]->shown().times("s3") >= 1);
  }
  for (int i : {5, 0, 4, 1, 2}) slaves.add_slave(fakes.emplace_back("s" + std::to_string(i)).slave);
  for (const auto& waiter : waiters) waiter->join();
  CHECK(served == 6);
}

TEST_CASE("who gets a slave without taking it leaves it to the next") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  std::atomic<int> served = 0;
  std::vector<std::unique_ptr<Queued>> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.push_back(std::make_unique<Queued>(slaves, anyone, [&](const SlaveFilter& filter) {
      served += slaves.get_slave(block, filter) == a.slave ? 1 : 0;
    }));
  }
  slaves.add_slave(a.slave);
  for (const auto& waiter : waiters) waiter->join();
  CHECK(served == 5);
  for (const auto& waiter : waiters) CHECK(waiter->shown().times("a") == 1);
}

TEST_CASE("what a filter throws comes out, and the next gets the slave") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  bool caught = false;
  const SlaveFilter broken = [](const Slave&) -> bool { throw std::out_of_range("mine"); };
  std::shared_ptr<Slave> got;
  Queued first(slaves, broken, [&](const SlaveFilter& filter) {
    try {
      static_cast<void>(slaves.reserve({.filter = filter}));
    } catch (const std::out_of_range&) {
      caught = true;
    }
  });
  Queued second(slaves, anyone, [&](const SlaveFilter& filter) { got = slaves.reserve({.filter = filter}).slave(); });
  slaves.add_slave(a.slave);
  first.join();
  second.join();
  CHECK(caught);
  CHECK(got == a.slave);
  CHECK_THROWS_AS(static_cast<void>(slaves.get_slave(no_wait, broken)), std::out_of_range);
}

TEST_CASE("a waiter that is stopped passes on what it was shown") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  std::stop_source stop;
  std::latch looking(1);
  std::latch go_on(1);
  const SlaveFilter slow = [&](const Slave&) {
    looking.count_down();
    go_on.wait();
    return false;
  };
  bool cancelled = false;
  std::shared_ptr<Slave> got;
  Queued first(slaves, slow, [&](const SlaveFilter& filter) {
    try {
      static_cast<void>(slaves.reserve({.filter = filter, .stop = stop.get_token()}));
    } catch (const Cancelled&) {
      cancelled = true;
    }
  });
  Queued second(slaves, anyone, [&](const SlaveFilter& filter) { got = slaves.reserve({.filter = filter}).slave(); });
  slaves.add_slave(a.slave);
  looking.wait();
  stop.request_stop();
  go_on.count_down();
  first.join();
  second.join();
  CHECK(cancelled);
  CHECK(got == a.slave);
}

TEST_CASE("a slow filter keeps nobody from what is there when his time is up") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  std::latch looking(1);
  std::latch go_on(1);
  const SlaveFilter slow = [&](const Slave& slave) {
    if (slave.name() != "a") return slave.name() == "b";
    looking.count_down();
    go_on.wait();
    return true;
  };
  std::shared_ptr<Slave> got;
  Queued waiter(slaves, slow, [&](const SlaveFilter& filter) { got = slaves.reserve({.filter = filter}).slave(); });
  slaves.add_slave(a.slave);
  looking.wait();
  {
    const Lease patient = slaves.reserve({.deadline = 5ms});
    CHECK(patient.slave() == a.slave);
  }
  Lease impatient = slaves.reserve({.deadline = no_wait});
  CHECK(impatient.slave() == a.slave);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  go_on.count_down();  // it would have done, but is gone
  slaves.add_slave(b.slave);
  waiter.join();
  CHECK(got == b.slave);
}

TEST_CASE("a deadline ends the wait also while slaves become free faster than the filter looks at them") {
  for (const bool alone : {false, true}) {
    CAPTURE(alone);
    SlaveCollection slaves;
    const FakeSlave busy("busy");
    slaves.add_slave(busy.slave);
    int looks = 0;
    bool is_asking = false;
    const SlaveFilter filter = [&](const Slave&) {
      if (std::exchange(is_asking, true)) return true;
      REQUIRE(++looks < 5'000'000);
      CHECK(slaves.reserve({.deadline = no_wait}));  // and so becomes free again
      is_asking = false;
      return false;
    };
    if (alone) {
      CHECK_FALSE(slaves.reserve({.filter = filter, .deadline = 20ms}));
    } else {
      CHECK(slaves.get_slave(20ms, filter) == nullptr);
    }
  }
}

TEST_CASE("a stop ends the look at many slaves, not only the wait") {
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  for (int i = 0; i < 100; ++i) slaves.add_slave(fakes.emplace_back("w" + std::to_string(i)).slave);
  for (const SlaveCompare& compare : {SlaveCompare(), SlaveCompare([](const Slave&, const Slave&) { return false; })}) {
    std::stop_source stop;
    int looks = 0;
    const SlaveFilter filter = [&](const Slave&) {
      ++looks;
      return stop.request_stop() && false;
    };
    CHECK_THROWS_AS(static_cast<void>(slaves.get_slave(
                        {.filter = filter, .compare = compare, .deadline = 1h, .stop = stop.get_token()})),
                    Cancelled);
    CHECK(looks == 1);
  }
}

TEST_CASE("a change is told to those who wait for it") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  std::uint64_t seen = slaves.version();
  CHECK_FALSE(slaves.wait_for_change(seen, no_wait));
  CHECK_FALSE(slaves.wait_for_change(seen, 5ms));

  const auto told = [&](const std::function<void()>& change) {
    bool result = false;
    std::thread waiter([&, seen] { result = slaves.wait_for_change(seen, block); });
    change();
    waiter.join();
    const std::uint64_t before = std::exchange(seen, slaves.version());
    return result && seen > before;
  };
  Lease lease;
  CHECK(told([&] { slaves.add_slave(a.slave); }));
  CHECK(told([&] { lease = slaves.reserve({.deadline = no_wait}); }));
  CHECK(told([&] { lease.release(); }));
  CHECK(told([&] { slaves.remove_slave(*a.slave); }));
  CHECK(slaves.wait_for_change(seen - 1, no_wait));
}

TEST_CASE("two threads that answer each other's changes never miss one") {
  SlaveCollection slaves;
  constexpr std::uint64_t rounds = 300;
  const auto play = [&](const std::string& name, std::uint64_t seen) {
    const FakeSlave mine(name);
    for (; seen < rounds; seen += 2) {
      slaves.wait_for_change(seen, block);
      slaves.remove_slave(*mine.slave) || slaves.add_slave(mine.slave);
    }
  };
  std::thread even([&] { play("a", 0); });
  std::thread odd([&] { play("b", 1); });
  const FakeSlave first("c");
  slaves.add_slave(first.slave);
  even.join();
  odd.join();
  CHECK(slaves.version() == rounds + 1);
}

TEST_CASE("so many slaves can be waited for") {
  SlaveCollection slaves;
  CHECK(slaves.wait_for_slaves(0, no_wait));
  CHECK_FALSE(slaves.wait_for_slaves(1, 5ms));
  std::vector<FakeSlave> fakes;
  bool result = false;
  std::thread waiter([&] { result = slaves.wait_for_slaves(3, block); });
  for (const char* name : {"a", "b", "c"}) slaves.add_slave(fakes.emplace_back(name).slave);
  waiter.join();
  CHECK(result);
  const Lease lease = slaves.reserve({.deadline = no_wait});
  CHECK(slaves.wait_for_slaves(3, no_wait));
  CHECK_FALSE(slaves.wait_for_slaves(4, no_wait));
}

TEST_CASE("a thousand waiters and ten thousand slaves cost one look for each slave that is taken") {
  constexpr int waiting = 1000;
  constexpr int coming = 10000;
  SlaveCollection slaves;
  const FakeSlave dummy("dummy");
  slaves.add_slave(dummy.slave);
  std::latch all_have_looked(waiting);
  std::atomic<int> looks = 0;
  const SlaveFilter filter = [&](const Slave& slave) {
    if (slave.name() == "dummy") return all_have_looked.count_down(), false;
    ++looks;
    return true;
  };
  std::mutex mutex;
  std::set<std::string> taken;
  std::vector<Lease> leases;
  std::vector<std::thread> threads;
  for (int i = 0; i < waiting; ++i) {
    threads.emplace_back([&] {
      Lease lease = slaves.reserve({.filter = filter});
      const std::lock_guard lock(mutex);
      taken.insert(lease->name());
      leases.push_back(std::move(lease));
    });
  }
  all_have_looked.wait();
  std::vector<FakeSlave> fakes;
  fakes.reserve(coming);
  for (int i = 0; i < coming; ++i) slaves.add_slave(fakes.emplace_back("s" + std::to_string(i)).slave);
  for (std::thread& thread : threads) thread.join();
  CHECK(taken.size() == waiting);
  CHECK(looks == waiting);
  CHECK(slaves.size() == coming + 1);
}

TEST_CASE("a newcomer that nobody wants is looked at once by each who waits") {
  constexpr int waiting = 200;
  constexpr int coming = 50;
  SlaveCollection slaves;
  const FakeSlave dummy("dummy");
  slaves.add_slave(dummy.slave);
  std::latch all_have_looked(waiting);
  std::atomic<int> looks = 0;
  const SlaveFilter filter = [&](const Slave& slave) {
    if (slave.name() == "dummy") return all_have_looked.count_down(), false;
    if (slave.name() == "wanted") return true;
    ++looks;
    return false;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < waiting; ++i) threads.emplace_back([&] { static_cast<void>(slaves.get_slave(block, filter)); });
  all_have_looked.wait();
  std::vector<FakeSlave> fakes;
  for (int i = 0; i < coming; ++i) slaves.add_slave(fakes.emplace_back("s" + std::to_string(i)).slave);
  slaves.add_slave(fakes.emplace_back("wanted").slave);
  for (std::thread& thread : threads) thread.join();
  CHECK(looks == waiting * coming);
}

TEST_CASE("however threads race, a slave is one's alone and nobody waits in vain") {
  constexpr std::size_t workers = 6;
  constexpr int rounds = 150;
  constexpr int first_slaves = 4;
  SlaveCollection slaves;
  std::atomic<int> names_given = 0;
  std::mutex mutex;
  std::vector<FakeSlave> fakes;
  std::map<std::string, std::atomic<int>> holders;  // of every slave there ever is
  for (int i = 0; i < first_slaves + static_cast<int>(workers) * rounds; ++i) holders["s" + std::to_string(i)] = 0;
  const auto add = [&] {
    FakeSlave fake("s" + std::to_string(names_given++));
    slaves.add_slave(fake.slave);
    const std::lock_guard lock(mutex);
    fakes.push_back(fake);
  };
  for (int i = 0; i < first_slaves; ++i) add();

  std::atomic<bool> shared = false;
  std::atomic<int> served = 0;
  std::vector<std::thread> threads;
  for (std::size_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      for (int round = 0; round < rounds; ++round) {
        const auto pick = (w * 7 + static_cast<std::size_t>(round)) % 10;
        const SlaveFilter odd = [&](const Slave& slave) { return (slave.name().back() - '0') % 2 == 1; };
        const SlaveCompare compare = [](const Slave& a, const Slave& b) { return a.name() < b.name(); };
        if (pick == 0) {
          static_cast<void>(slaves.get_slave(1ms, odd));
        } else if (pick == 1) {
          std::stop_source stop;
          stop.request_stop();
          CHECK_THROWS_AS(static_cast<void>(slaves.reserve({.stop = stop.get_token()})), Cancelled);
        } else if (pick == 2) {
          static_cast<void>(slaves.snapshot());
          slaves.wait_for_change(slaves.version(), 1ms);
        }
        Lease lease = pick == 3   ? slaves.reserve({.filter = odd, .deadline = 1ms})
                      : pick == 4 ? slaves.reserve({.compare = compare})
                      : pick == 5 ? slaves.reserve({.deadline = no_wait})
                                  : slaves.reserve({});
        if (!lease) continue;
        std::atomic<int>& count = holders.at(lease->name());
        if (count.fetch_add(1) != 0) shared = true;
        ++served;
        count.fetch_sub(1);
        if (pick == 6) {
          // Another comes before it goes, so that somebody is always there.
          add();
          lease->disconnect();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(shared);
  CHECK(served > 0);
  CHECK(slaves.size() == first_slaves);
}

TEST_CASE("a paused slave is passed by, what runs on it goes on, and it is free again when it is resumed") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  slaves.pause("a", "its disk is full");
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  CHECK_NOTHROW(a->execute({"true"}));
  CHECK(slaves.find("a") == a.slave);
  auto status = slaves.snapshot().at(0);
  CHECK(status.paused);
  CHECK(status.pause_reason == "its disk is full");
  CHECK_FALSE(status.reserved);

  CHECK(slaves.resume("a"));
  status = slaves.snapshot().at(0);
  CHECK_FALSE(status.paused);
  CHECK(status.pause_reason.empty());
  CHECK(slaves.get_slave(no_wait) == a.slave);
}

TEST_CASE("a pause of a reserved slave begins when its lease has ended") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.owner = "build 17", .deadline = no_wait});
  slaves.pause("a", "it is old");
  auto status = slaves.snapshot().at(0);
  CHECK(status.paused);
  CHECK(status.reserved_by == "build 17");
  CHECK_NOTHROW(lease->execute({"true"}));
  lease.release();
  CHECK_FALSE(slaves.snapshot().at(0).reserved);
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  slaves.resume("a");
  lease = slaves.reserve({.deadline = no_wait});
  REQUIRE(lease);

  slaves.pause("a", "it is old");
  slaves.resume("a");
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));  // it is still reserved
  lease.release();
  CHECK(slaves.reserve({.deadline = no_wait}));
}

TEST_CASE(
    "a pause is that of the name: it outlives the slave, and those that come while they are paused are told apart") {
  SlaveCollection slaves;
  slaves.pause("a", "quarantine");
  slaves.pause("b", "quarantine");
  {
    const FakeSlave a("a");
    slaves.add_slave(a.slave);
    CHECK(slaves.get_slave(no_wait) == nullptr);
    a.backend->lose({Errc::connection_lost, "the cable was pulled", 0});
  }
  CHECK(slaves.size() == 0);
  const FakeSlave a("a");
  const FakeSlave b("b");
  const FakeSlave c("c");
  for (const FakeSlave* slave : {&a, &b, &c}) slaves.add_slave(slave->slave);
  CHECK(slaves.get_slave(no_wait) == c.slave);
  slaves.remove_slave(*c.slave);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK(slaves.resume("b"));
  CHECK(slaves.get_slave(no_wait) == b.slave);
  CHECK(slaves.remove_slave(*a.slave));
  CHECK(slaves.resume("a"));
  CHECK(slaves.add_slave(a.slave));
  CHECK(slaves.size() == 2);
}

TEST_CASE("a request that waits gets a slave that is resumed") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  slaves.pause("a", "its disk is full");
  Lease lease;
  Queued queued(slaves, anyone, [&](const SlaveFilter& filter) { lease = slaves.reserve({.filter = filter}); });
  CHECK(queued.shown().times("a") == 0);
  CHECK(slaves.resume("a"));
  queued.join();
  CHECK(lease.slave() == a.slave);
}

TEST_CASE("a slave that comes again is the same process, a new one, or after a boot, as far as it says so") {
  SlaveCollection slaves;
  const auto comes = [&slaves](const std::string& boot, const std::string& instance) {
    const FakeSlave fake(SlaveInfo{.name = "a", .boot_id = boot, .instance_id = instance});
    slaves.add_slave(fake.slave);
    const Incarnation incarnation = slaves.snapshot().at(0).incarnation;
    fake.backend->lose({Errc::connection_lost, "the cable was pulled", 0});
    return incarnation;
  };
  CHECK(comes("1", "x") == Incarnation::first);
  CHECK(comes("1", "x") == Incarnation::reconnected);
  CHECK(comes("1", "y") == Incarnation::restarted);
  CHECK(comes("2", "z") == Incarnation::rebooted);
  CHECK(comes("", "z") == Incarnation::unknown);
  CHECK(comes("2", "z") == Incarnation::unknown);
  CHECK(comes("2", "") == Incarnation::unknown);
}

TEST_CASE("the successor of a slave is waited for, and is another one of its name") {
  SlaveCollection slaves;
  const FakeSlave old("a");
  slaves.add_slave(old.slave);
  CHECK(slaves.wait_for_successor(*old.slave, 1ms) == nullptr);
  const FakeSlave other("b");
  slaves.add_slave(other.slave);
  CHECK(slaves.wait_for_successor(*old.slave, no_wait) == nullptr);
  auto next = std::async(std::launch::async, [&] { return slaves.wait_for_successor(*old.slave, block); });
  old.backend->lose({Errc::connection_lost, "reboot", 0});
  const FakeSlave successor("a");
  slaves.add_slave(successor.slave);
  CHECK(next.get() == successor.slave);
  CHECK(slaves.wait_for_successor(*old.slave, no_wait) == successor.slave);
  std::stop_source stop;
  stop.request_stop();
  CHECK_THROWS_AS(static_cast<void>(slaves.wait_for_successor(*successor.slave, block, stop.get_token())), Cancelled);
}
