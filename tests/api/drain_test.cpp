// Slaves that leave: shutdown() by the master, drain() by their own program.
#include "support/has.hpp"
#include "support/slaves.hpp"

#include <future>
#include <mutex>
#include <string>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// The reason of a slave's end, when it has come, or more if it is an unexpected one.
std::string how_it_left(Slave& slave) {
  const Event ended;
  slave.on_disconnect([ended] { ended.happened(); });
  CHECK(ended.wait());
  const auto reason = slave.disconnect_reason();
  if (reason == DisconnectReason::released) return "released";
  return std::string(reason ? to_string(*reason) : "connected") + ": " + slave.lost_reason();
}

}  // namespace

TEST_CASE("a slave that is shut down leaves at once if nothing is under way, and is said to be released") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    std::promise<void> gone;
    std::mutex mutex;
    std::vector<SlaveNotice::Kind> kinds;
    const auto subscription = farm.slaves.on_change([&](const SlaveNotice& notice) {
      const std::lock_guard lock(mutex);
      kinds.push_back(notice.kind);
      if (notice.kind == SlaveNotice::draining) CHECK(has(notice.words, "maintenance"));
      if (notice.kind == SlaveNotice::left) gone.set_value();
    });
    slave.shutdown({.within = 24h, .reason = "maintenance"});
    CHECK(farm.slaves.get_slave(no_wait) == nullptr);
    CHECK(how_it_left(slave) == "released");
    REQUIRE(gone.get_future().wait_for(ample) == std::future_status::ready);
    const std::lock_guard lock(mutex);
    CHECK(kinds == std::vector<SlaveNotice::Kind>{SlaveNotice::draining, SlaveNotice::left});
  });
}

TEST_CASE("the job that has reserved a slave is finished before the slave leaves") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    Lease lease = farm.slaves.reserve({.deadline = no_wait});
    REQUIRE(lease);
    slave.start_shutdown({.within = 24h, .reason = "maintenance"}).wait();
    CHECK(slave.is_draining());
    lease->mkdir("d");
    CHECK(lease->execute({"echo", "hello"}).out == "hello\n");
    CHECK(slave.is_connected());
    lease.release();
    CHECK(how_it_left(slave) == "released");
  });
}

TEST_CASE("a command that is not over in time is ended and answered before the slave leaves") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    const Lifeline lifeline;
    auto command = slave.start_execute(lifeline.endless_command());
    REQUIRE(lifeline.wait_for_begin());
    slave.shutdown();
    const auto error = thrown_by<RemoteError>([&] { command.wait(); });
    REQUIRE(error);
    CHECK(error->code() == Errc::cancelled);
    CHECK(lifeline.wait_for_end());
    CHECK(how_it_left(slave) == "released");
  });
}

TEST_CASE("a lease that is never given back holds a slave for no longer than its time") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    const Lease lease = farm.slaves.reserve({.deadline = no_wait});
    slave.shutdown({.within = 10ms});
    CHECK(how_it_left(slave) == "released");
  });
}

TEST_CASE("a slave whose program cannot start itself again refuses a restart and stays") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    const auto error = thrown_by<RemoteError>([&] { slave.restart({.within = 24h}); });
    REQUIRE(error);
    CHECK(error->code() == Errc::unsupported);
    CHECK(has(error->message(), "cannot start itself again"));
    CHECK_FALSE(slave.is_draining());
    CHECK(slave.is_connected());
  });
}

TEST_CASE("a program that starts its slave itself learns that it is to do so again") {
  Farm farm(Over::tcp);
  SlaveThread slave({.name = "w1", .basedir = farm.basedir("w1"), .keyless = true, .restarts = true},
                    [&](SlaveServer& server) { return server.run(farm.listener->address()); });
  const auto handle = farm.slaves.get_slave(ample);
  REQUIRE(handle);
  handle->start_restart().wait();
  const ServeResult result = slave.result();
  CHECK(result.reason == ServeResult::Reason::stopped);
  CHECK(result.restart);
  CHECK(how_it_left(*handle) == "released");
}

TEST_CASE("a slave that is to start again, and is then asked to end, ends") {
  Farm farm(Over::tcp);
  SlaveThread slave({.name = "w1", .basedir = farm.basedir("w1"), .keyless = true, .restarts = true},
                    [&](SlaveServer& server) { return server.run(farm.listener->address()); });
  Lease lease = farm.slaves.reserve({.deadline = ample});
  REQUIRE(lease);
  lease->restart({.within = 24h});
  slave.server().drain(24h, "it is to end");
  lease.release();
  CHECK_FALSE(slave.result().restart);
}

TEST_CASE("what cannot be asked is refused before anything is sent") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  const auto code_of = [&slave](const ShutdownOptions& options) {
    const auto error = thrown_by<Error>([&] { slave->shutdown(options); });
    return error ? std::optional(error->code()) : std::nullopt;
  };
  CHECK(code_of({.within = -1ms}) == Errc::invalid_argument);
  CHECK(code_of({.reason = std::string(1025, 'r')}) == Errc::too_large);
  CHECK_FALSE(slave->is_draining());
}

TEST_CASE("a slave program that drains is let go, and its run() ends as stopped") {
  Farm farm(Over::tcp);
  SlaveThread slave({.name = "w1", .basedir = farm.basedir("w1"), .keyless = true},
                    [&](SlaveServer& server) { return server.run(farm.listener->address()); });
  const auto handle = farm.slaves.get_slave(ample);
  REQUIRE(handle);
  slave.server().drain(24h, "the disk is to be replaced");
  const ServeResult result = slave.result();
  CHECK(result.reason == ServeResult::Reason::stopped);
  CHECK(result.message == "the master has let it go");
  CHECK(result.registered);
  CHECK(how_it_left(*handle) == "released");
  CHECK(has(handle->lost_reason(), "the disk is to be replaced"));
}

TEST_CASE("a second drain shortens the time, and a stop ends it") {
  for (const bool stops : {false, true}) {
    CAPTURE(stops);
    Farm farm(Over::tcp);
    SlaveThread slave({.name = "w1", .basedir = farm.basedir("w1"), .keyless = true},
                      [&](SlaveServer& server) { return server.run(farm.listener->address()); });
    const Lease lease = farm.slaves.reserve({.deadline = ample});
    REQUIRE(lease);
    slave.server().drain(24h);
    CHECK(eventually([&] { return lease->is_draining(); }));
    stops ? slave.server().stop() : slave.server().drain(0ms);
    CHECK(slave.result().reason == ServeResult::Reason::stopped);
    CHECK(how_it_left(*lease) == "released");
  }
}

TEST_CASE("a slave that drains without a master, or whose master is cut off, ends") {
  const TempDir dir;
  {
    SlaveThread slave({.name = "w1", .basedir = dir / "w1"},
                      [&](SlaveServer& server) { return server.run("unix:" + (dir / "nobody")); });
    slave.server().drain(24h);
    CHECK(slave.result().reason == ServeResult::Reason::stopped);
  }
  Farm farm(Over::tcp);
  SlaveThread slave({.name = "w2", .basedir = dir / "w2", .keyless = true},
                    [&](SlaveServer& server) { return server.run(farm.listener->address()); });
  Lease lease = farm.slaves.reserve({.deadline = ample});
  REQUIRE(lease);
  slave.server().drain(24h);
  CHECK(eventually([&] { return lease->is_draining(); }));
  lease->disconnect();
  CHECK(slave.result().reason == ServeResult::Reason::stopped);
}

}  // namespace remsh::test
