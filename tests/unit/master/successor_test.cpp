// A lease whose slave leaves as a step of the job, and comes again.
#include <remsh/master/slave_collection.hpp>

#include "support/ample.hpp"
#include "support/fake_backend.hpp"
#include "support/thrown.hpp"
#include "support/told_notices.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::FakeSlave;
using remsh::test::ToldNotices;

namespace {

/// A slave, reserved for a job that expects its end.
struct Rebooting {
  Rebooting() {
    slaves.add_slave(first.slave);
    lease = slaves.reserve({.owner = "job 1", .deadline = no_wait});
    REQUIRE(lease);
    lease.expect_disconnect("a new kernel");
  }

  void reboot() const { first.backend->lose({Errc::connection_lost, "it broke", 0, DisconnectReason::cut}); }

  SlaveCollection slaves;
  FakeSlave first{"a"};
  FakeSlave second{"a"};
  FakeSlave third{"a"};
  Lease lease;
};

}  // namespace

TEST_CASE("a job that reboots its slave has the slave that comes again, and nobody else gets it meanwhile") {
  Rebooting job;
  auto other = std::async(std::launch::async, [&job] { return job.slaves.reserve({.deadline = ample}); });
  job.reboot();
  CHECK_FALSE(job.lease.wait_for_successor(no_wait));
  CHECK(job.lease.slave() == job.first.slave);
  job.slaves.add_slave(job.second.slave);
  const SlaveStatus status = job.slaves.snapshot().at(0);
  CHECK(status.reserved);
  CHECK(status.reserved_by == "job 1");
  CHECK(job.slaves.get_slave(no_wait) == nullptr);
  REQUIRE(job.lease.wait_for_successor(ample));
  CHECK(job.lease.slave() == job.second.slave);
  CHECK_NOTHROW(job.lease->stat("a"));
  CHECK(other.wait_for(0ms) == std::future_status::timeout);
  job.lease.release();
  CHECK(other.get().slave() == job.second.slave);
}

TEST_CASE("the notices of a slave that was expected to leave say so") {
  Rebooting job;
  ToldNotices told;
  bool is_expected = false;
  {
    const auto subscription = job.slaves.on_change([&](const SlaveNotice& notice) {
      if (notice.kind == SlaveNotice::left) is_expected = notice.expected;
      told(notice);
    });
    job.reboot();
    job.slaves.add_slave(job.second.slave);
    CHECK(told.first(3) == std::vector<std::string>{"a left for job 1 (cut): expected (a new kernel): it broke",
                                                    "a arrived", "a reserved for job 1"});
  }
  CHECK(is_expected);
}

TEST_CASE("a thread that waits for the successor has it when it comes, or ends with a stop") {
  Rebooting job;
  std::stop_source stop;
  auto stopped = std::async(std::launch::async, [&] {
    return test::code_thrown_by([&] { static_cast<void>(job.lease.wait_for_successor(ample, stop.get_token())); });
  });
  stop.request_stop();
  CHECK(stopped.get() == Errc::cancelled);
  auto waits = std::async(std::launch::async, [&job] { return job.lease.wait_for_successor(ample); });
  job.reboot();
  job.slaves.add_slave(job.second.slave);
  CHECK(waits.get());
  CHECK(job.lease.slave() == job.second.slave);
}

TEST_CASE("a job that does not wait any more leaves the successor free, whether it has come or not") {
  for (const bool has_come : {false, true}) {
    for (const bool now : {false, true}) {
      CAPTURE(has_come);
      CAPTURE(now);
      Rebooting job;
      job.reboot();
      if (has_come) job.slaves.add_slave(job.second.slave);
      now ? job.lease.release_now() : job.lease.release();
      if (!has_come) job.slaves.add_slave(job.second.slave);
      CHECK(job.slaves.reserve({.deadline = no_wait}).slave() == job.second.slave);
    }
  }
}

TEST_CASE("a slave that does not leave is given back as always, and its end is no expected one then") {
  Rebooting job;
  job.lease.release();
  const Lease other = job.slaves.reserve({.owner = "job 2", .deadline = no_wait});
  REQUIRE(other.slave() == job.first.slave);
  job.reboot();
  job.slaves.add_slave(job.second.slave);
  CHECK(job.slaves.reserve({.deadline = no_wait}).slave() == job.second.slave);
}

TEST_CASE("a successor that is lost before the job has it is no successor: the next one is") {
  Rebooting job;
  job.reboot();
  job.slaves.add_slave(job.second.slave);
  job.second.backend->lose({Errc::connection_lost, "it broke", 0, DisconnectReason::cut});
  CHECK_FALSE(job.lease.wait_for_successor(no_wait));
  job.slaves.add_slave(job.third.slave);
  REQUIRE(job.lease.wait_for_successor(no_wait));
  CHECK(job.lease.slave() == job.third.slave);
}

TEST_CASE("a job may reboot its slave again") {
  Rebooting job;
  job.reboot();
  job.slaves.add_slave(job.second.slave);
  REQUIRE(job.lease.wait_for_successor(no_wait));
  CHECK(test::code_thrown_by([&] { static_cast<void>(job.lease.wait_for_successor(no_wait)); }) == Errc::invalid_argument);
  job.lease.expect_disconnect("another kernel");
  job.second.backend->lose({Errc::connection_lost, "it broke", 0, DisconnectReason::cut});
  job.slaves.add_slave(job.third.slave);
  REQUIRE(job.lease.wait_for_successor(no_wait));
  CHECK(job.lease.slave() == job.third.slave);
}

TEST_CASE("a slave that drains is not held up by a lease that expects its end") {
  for (const bool drains_first : {false, true}) {
    CAPTURE(drains_first);
    SlaveCollection slaves;
    const FakeSlave fake("a");
    slaves.add_slave(fake.slave);
    Lease lease = slaves.reserve({.deadline = no_wait});
    if (drains_first) fake.backend->drain("SIGTERM");
    CHECK(fake->is_connected());
    lease.expect_disconnect("a new kernel");
    if (!drains_first) fake.backend->drain("SIGTERM");
    CHECK(fake->disconnect_reason() == DisconnectReason::released);
  }
}

TEST_CASE("only the lease of a whole slave that is there can expect its end") {
  SlaveCollection slaves;
  const FakeSlave fake(SlaveInfo{.name = "a", .slots = 2});
  slaves.add_slave(fake.slave);
  const auto expect = [](Lease& lease) { return test::code_thrown_by([&] { lease.expect_disconnect("why"); }); };
  Lease empty;
  CHECK(expect(empty) == Errc::invalid_argument);
  CHECK(test::code_thrown_by([&] { static_cast<void>(empty.wait_for_successor(no_wait)); }) == Errc::invalid_argument);
  Lease share = slaves.reserve({.deadline = no_wait, .slots = 1});
  REQUIRE(share);
  CHECK(expect(share) == Errc::invalid_argument);
  share.release();
  Lease whole = slaves.reserve({.deadline = no_wait});
  REQUIRE(whole);
  CHECK(test::code_thrown_by([&] { static_cast<void>(whole.wait_for_successor(no_wait)); }) == Errc::invalid_argument);
  fake.backend->lose({Errc::connection_lost, "it broke", 0, DisconnectReason::cut});
  CHECK(expect(whole) == Errc::invalid_argument);
}

TEST_CASE("a collection may go before a lease that expects, and so may the successor") {
  auto slaves = std::make_unique<SlaveCollection>();
  const FakeSlave first("a");
  FakeSlave second("a");
  slaves->add_slave(first.slave);
  Lease lease = slaves->reserve({.deadline = no_wait});
  lease.expect_disconnect("a new kernel");
  first.backend->lose({Errc::connection_lost, "it broke", 0, DisconnectReason::cut});
  slaves->add_slave(second.slave);
  second.slave.reset();
  slaves.reset();
  CHECK_FALSE(lease.wait_for_successor(no_wait));
  lease.release();
}
