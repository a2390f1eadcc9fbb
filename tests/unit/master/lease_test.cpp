// Lease: when a slave that is given back becomes free, against all that may happen meanwhile.
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
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;

namespace {

/// One slave in a collection, reserved, with a command that its caller has left and that goes on at the worker.
struct Abandoned {
  Abandoned() {
    slaves->add_slave(fake.slave);
    lease = slaves->reserve({.owner = "job 1", .deadline = no_wait});
    REQUIRE(lease);
    fake.backend->on<Execute>([](const auto&, const auto&, const auto&) {
      return Failure{Errc::timeout, "the deadline passed", 0};
    });
    fake.backend->go_on();
    CHECK_THROWS_AS(static_cast<void>(lease->execute({"make"}, {.deadline = 1ms})), Timeout);
  }

  [[nodiscard]] SlaveStatus status() const { return slaves->snapshot().at(0); }

  FakeSlave fake{"a"};
  std::unique_ptr<SlaveCollection> slaves = std::make_unique<SlaveCollection>();
  Lease lease;
};

/// Waits in reserve() of a collection, and holds what it got.
std::future<Lease> waits_for_lease(SlaveCollection& slaves) {
  return std::async(std::launch::async, [&slaves] { return slaves.reserve({.owner = "job 2", .deadline = ample}); });
}

}  // namespace

TEST_CASE("an empty lease says what to test instead of being used") {
  const FakeSlave fake("a");
  SlaveCollection slaves;
  slaves.add_slave(fake.slave);
  const auto is_refused = [](const Lease& lease) {
    CHECK_FALSE(lease);
    CHECK(lease.slave() == nullptr);
    int refused = 0;
    try {
      static_cast<void>(lease->name());
    } catch (const Error& error) {
      refused += error.code() == Errc::invalid_argument;
      CHECK(std::string(error.what()).find("if (lease)") != std::string::npos);
    }
    try {
      static_cast<void>((*lease).name());
    } catch (const Error& error) {
      refused += error.code() == Errc::invalid_argument;
    }
    return refused == 2;
  };
  CHECK(is_refused(Lease()));
  Lease lease = slaves.reserve({.deadline = no_wait});
  CHECK(is_refused(slaves.reserve({.deadline = no_wait})));
  CHECK(lease->name() == "a");
  const Lease moved = std::move(lease);
  CHECK(is_refused(lease));  // NOLINT(bugprone-use-after-move)
  CHECK((*moved).name() == "a");
  Lease released = slaves.reserve({.deadline = no_wait});
  released.release();
  CHECK(is_refused(released));
}

TEST_CASE("a slave that is given back while a command of its holder runs is not free before that has ended") {
  Abandoned it;
  const std::uint64_t version_before = it.slaves->version();
  it.lease.release();
  CHECK_FALSE(it.lease);
  CHECK(it.slaves->version() == version_before + 1);
  CHECK(it.status().reserved);
  CHECK(it.status().releasing);
  CHECK(it.status().reserved_by == "job 1");
  CHECK_FALSE(it.slaves->reserve({.deadline = no_wait}));
  CHECK(it.slaves->get_slave(no_wait) == nullptr);

  auto next = waits_for_lease(*it.slaves);
  it.fake.backend->answer();
  REQUIRE(next.wait_for(ample) == std::future_status::ready);
  const Lease second = next.get();
  CHECK(second.slave() == it.fake.slave);
  CHECK(it.status().reserved);
  CHECK_FALSE(it.status().releasing);
  CHECK(it.status().reserved_by == "job 2");
}

TEST_CASE("release_now() frees the slave at once, and what ends later is nobody's") {
  Abandoned it;
  it.lease.release_now();
  Lease second = it.slaves->reserve({.deadline = no_wait});
  CHECK(second);
  it.fake.backend->answer();
  CHECK_FALSE(it.slaves->reserve({.deadline = no_wait}));
  second.release_now();
  second.release_now();
  CHECK(it.slaves->reserve({.deadline = no_wait}));
}

TEST_CASE("an end that comes after the slave has been taken out, put back and reserved frees nothing") {
  Abandoned it;
  it.lease.release();
  CHECK(it.slaves->remove_slave(*it.fake.slave));
  CHECK(it.slaves->add_slave(it.fake.slave));
  const Lease second = it.slaves->reserve({.deadline = no_wait});
  CHECK(second);
  it.fake.backend->answer();
  CHECK_FALSE(it.slaves->reserve({.deadline = no_wait}));
  CHECK_FALSE(it.status().releasing);
}

TEST_CASE("a slave that is lost with a command under way is gone, and the one that comes again is free") {
  for (const bool is_released : {false, true}) {
    CAPTURE(is_released);
    Abandoned it;
    if (is_released) it.lease.release();
    auto next = waits_for_lease(*it.slaves);
    it.fake.backend->lose({Errc::connection_lost, "cut", 0});
    CHECK(it.slaves->size() == 0);
    const FakeSlave again("a");
    it.slaves->add_slave(again.slave);
    REQUIRE(next.wait_for(ample) == std::future_status::ready);
    const Lease second = next.get();
    CHECK(second.slave() == again.slave);
    it.lease.release();
    CHECK_FALSE(it.slaves->reserve({.deadline = no_wait}));
  }
}

TEST_CASE("a slave that is cut is not connected and given to nobody, and keeps its lease until its session is over") {
  Abandoned it;
  it.lease.release();
  it.fake.backend->lose({Errc::connection_lost, "cut", 0}, [&] {
    CHECK_FALSE(it.fake->is_connected());
    CHECK(it.fake->lost_reason() == "cut");
    CHECK(it.slaves->size() == 1);
    CHECK(it.status().releasing);
    CHECK(it.status().reserved_by == "job 1");
    CHECK(it.slaves->get_slave(no_wait) == nullptr);
    CHECK_FALSE(it.slaves->reserve({.deadline = no_wait}));
  });
  CHECK(it.slaves->size() == 0);
}

TEST_CASE("a collection may go while a slave is being released, and so may the last handle of the slave") {
  Abandoned it;
  it.lease.release();
  it.slaves.reset();
  CHECK(it.fake.slave.use_count() == 1);
  const std::weak_ptr<Slave> weak = it.fake.slave;
  it.fake.slave.reset();
  CHECK(weak.expired());
  it.fake.backend->answer();
}

TEST_CASE("only what was started under the lease holds it up") {
  FakeSlave fake("a");
  SlaveCollection slaves;
  slaves.add_slave(fake.slave);
  std::latch begun(2);
  std::promise<void> end_before;
  std::promise<void> end_after;
  fake.backend->on<Execute>([&](const Execute::Request& request, const auto&, const auto&) {
    if (request.args[0] != "under") {
      begun.count_down();
      (request.args[0] == "before" ? end_before : end_after).get_future().wait();
    }
    return Execute::Reply();
  });
  auto before = fake->start_execute({"before"});
  Lease lease = slaves.reserve({.deadline = no_wait});
  static_cast<void>(lease->execute({"under"}));
  lease.release();
  auto after = fake->start_execute({"after"});
  lease = slaves.reserve({.deadline = no_wait});
  CHECK(lease);
  begun.wait();
  lease.release();
  CHECK(slaves.reserve({.deadline = no_wait}));
  end_before.set_value();
  end_after.set_value();
  before.wait();
  after.wait();
}

TEST_CASE("a Pending holds the lease of its slave up while it is under way, and not when it is over and kept") {
  FakeSlave fake("a");
  SlaveCollection slaves;
  slaves.add_slave(fake.slave);
  std::promise<void> end;
  fake.backend->on<Remove>([&](const auto&, const auto&, const auto&) {
    end.get_future().wait();
    return Nothing();
  });
  Lease lease = slaves.reserve({.deadline = no_wait});
  auto pending = lease->start_remove("tree");
  lease.release();
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  auto next = waits_for_lease(slaves);
  end.set_value();
  REQUIRE(next.wait_for(ample) == std::future_status::ready);
  CHECK(next.get().slave() == fake.slave);
  pending.wait();
}

TEST_CASE("a Pending that is dropped without having been waited for holds nothing up") {
  FakeSlave fake("a");
  SlaveCollection slaves;
  slaves.add_slave(fake.slave);
  fake.backend->on<Remove>([&](const auto&, const auto&, const Patience& options) {
    std::promise<void> stopped;
    const std::stop_callback on_stop(options.stop, [&] { stopped.set_value(); });
    stopped.get_future().wait();
    return Failure{Errc::cancelled, "stopped", 0};
  });
  Lease lease = slaves.reserve({.deadline = no_wait});
  {
    const auto pending = lease->start_remove("tree");
    lease.release();
    CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  }
  CHECK(slaves.reserve({.deadline = no_wait}));
}

TEST_CASE("every round of jobs that leave their commands finds the slave without one") {
  FakeSlave fake("a");
  SlaveCollection slaves;
  slaves.add_slave(fake.slave);
  std::atomic<int> running = 0;
  fake.backend->on<Mkdir>([&](const auto&, const auto&, const auto&) {
    CHECK(running.fetch_add(1) == 0);
    std::this_thread::yield();
    CHECK(running.fetch_sub(1) == 1);
    return Nothing();
  });
  const auto jobs = [&] {
    std::vector<Pending<void>> left;
    for (int i = 0; i < 100; ++i) {
      const Lease lease = slaves.reserve({.deadline = ample});
      REQUIRE(lease);
      left.push_back(lease->start_mkdir("d"));
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(jobs);
  for (std::thread& thread : threads) thread.join();
  CHECK(slaves.reserve({.deadline = ample}));
}
