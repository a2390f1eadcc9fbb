// A slave that has announced that it will end: who gets it, and when it is let go.
#include <remsh/master/slave_collection.hpp>

#include "support/ample.hpp"
#include "support/fake_backend.hpp"

#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;

namespace {

bool was_released(const FakeSlave& fake) { return fake->disconnect_reason() == DisconnectReason::released; }

/// Leaves a command that goes on at the worker.
void leave_a_command(const FakeSlave& fake) {
  fake.backend->on<Execute>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::timeout, "the deadline passed", 0};
  });
  fake.backend->go_on();
  CHECK_THROWS_AS(static_cast<void>(fake->execute({"make"}, {.deadline = 1ms})), Timeout);
}

}  // namespace

TEST_CASE("a slave that drains and has nothing to do is let go at once") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  slaves.add_slave(fake.slave);
  fake.backend->drain("SIGTERM");
  CHECK(was_released(fake));
  CHECK(fake->lost_reason() == "the slave is released: SIGTERM");
  CHECK(slaves.size() == 0);
}

TEST_CASE("a slave that drains is passed by, and let go when its lease and all that was begun under it have ended") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  slaves.add_slave(fake.slave);
  Lease lease = slaves.reserve({.owner = "build 17", .deadline = no_wait});
  fake.backend->drain("SIGTERM");
  CHECK(fake->is_draining());
  CHECK(fake->is_connected());
  CHECK(slaves.snapshot().at(0).draining);
  CHECK(slaves.snapshot().at(0).reserved_by == "build 17");
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  CHECK_NOTHROW(lease->stat("a"));  // further operations of the same job
  leave_a_command(fake);
  lease.release();
  CHECK(fake->is_connected());
  fake.backend->answer();
  CHECK(was_released(fake));
  CHECK(slaves.size() == 0);
}

TEST_CASE("a lease that is given up at once lets the slave go when it is idle") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  slaves.add_slave(fake.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  fake.backend->drain("SIGTERM");
  leave_a_command(fake);
  lease.release_now();
  CHECK(fake->is_connected());
  fake.backend->answer();
  CHECK(was_released(fake));
}

TEST_CASE("operations without a lease are waited for, also those that begin meanwhile") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  slaves.add_slave(fake.slave);
  leave_a_command(fake);
  fake.backend->drain("SIGTERM");
  CHECK(fake->is_connected());
  CHECK_NOTHROW(fake->stat("a"));
  CHECK(fake->is_connected());
  fake.backend->answer();
  CHECK(was_released(fake));
}

TEST_CASE("a slave that is in no collection, or is taken out of one, is let go too") {
  const FakeSlave alone("a");
  alone.backend->drain("SIGTERM");
  CHECK(was_released(alone));

  SlaveCollection slaves;
  const FakeSlave removed("b");
  slaves.add_slave(removed.slave);
  Lease lease = slaves.reserve({.deadline = no_wait});
  removed.backend->drain("SIGTERM");
  CHECK(removed->is_connected());
  slaves.remove_slave(*removed.slave);
  CHECK(was_released(removed));

  const FakeSlave out("c");
  slaves.add_slave(out.slave);
  slaves.remove_slave(*out.slave);
  out.backend->drain("SIGTERM");
  CHECK(was_released(out));
}

TEST_CASE("a slave that drains before it is added is not given to anybody") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  leave_a_command(fake);
  fake.backend->drain("SIGTERM");
  CHECK(slaves.add_slave(fake.slave));
  CHECK(slaves.snapshot().at(0).draining);
  CHECK(slaves.get_slave(no_wait) == nullptr);
  fake.backend->answer();
  CHECK(was_released(fake));
  CHECK(slaves.size() == 0);
}

TEST_CASE("a slave that drains while it is paused stays out of service when it is resumed") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  slaves.add_slave(fake.slave);
  leave_a_command(fake);
  slaves.pause("a", "old");
  fake.backend->drain("SIGTERM");
  slaves.resume("a");
  CHECK(slaves.get_slave(no_wait) == nullptr);
  slaves.pause("a", "old");
  CHECK(slaves.get_slave(no_wait) == nullptr);
  fake.backend->answer();
  CHECK(was_released(fake));
  CHECK(slaves.size() == 0);
}

TEST_CASE("subscribers are told that a slave drains, why, and that it was released") {
  std::promise<void> all;
  std::vector<std::string> told;
  SlaveCollection slaves;
  const FakeSlave fake("a");
  const auto subscription = slaves.on_change([&](const SlaveNotice& notice) {
    told.push_back(std::to_string(notice.kind) + ' ' + notice.words +
                   (notice.reason ? " (" + std::string(to_string(*notice.reason)) + ")" : ""));
    if (told.size() == 3) all.set_value();
  });
  slaves.add_slave(fake.slave);
  fake.backend->drain("the machine goes down");
  REQUIRE(all.get_future().wait_for(ample) == std::future_status::ready);
  CHECK(told == std::vector<std::string>{
                    std::to_string(SlaveNotice::arrived) + ' ',
                    std::to_string(SlaveNotice::draining) + " the machine goes down",
                    std::to_string(SlaveNotice::left) + " the slave is released: the machine goes down (released)"});
}

TEST_CASE("an explanation says that a slave is about to end") {
  SlaveCollection slaves;
  const FakeSlave fake("a");
  slaves.add_slave(fake.slave);
  const Lease lease = slaves.reserve({.deadline = no_wait});
  fake.backend->drain("SIGTERM");
  CHECK_THROWS_WITH_AS(static_cast<void>(slaves.get_slave({.deadline = no_wait, .explain = true})),
                       "get_slave: no slave: the collection has 1 slave; 1 is about to end", Timeout);
}
