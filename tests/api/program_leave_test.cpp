// How remsh-slave ends by itself, and how it goes from one master to another.
#include "support/has.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <array>
#include <csignal>
#include <functional>
#include <memory>
#include <string>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A master over a unix socket.
struct SocketMaster {
  SocketMaster() : listener({.slave_collection = slaves, .path = dir / "socket"}) { listener.start(); }

  const TempDir dir;
  SlaveCollection slaves;
  UnixSlaveListener listener;
};

std::string formatted_limit(const std::string& option, int seconds) {
  return "--" + option + "=" + std::to_string(seconds) + "s";
}

/// The limits that are tried, one after the other: on a busy machine a slave may be over before it has registered.
constexpr std::array limits{1, 5, 30};

/// Runs a slave with a limit of some seconds until it has ended. Returns why it went, as its master heard it; empty if
/// it was over before its master had it, or before `work` was done.
std::string reason_of_end(
    const std::string& option, int seconds, int& code,
    const std::function<bool(Slave&)>& work = [](Slave&) { return true; }) {
  SocketMaster master;
  Program program(
      {"--master", master.listener.address(), "--basedir", master.dir / "base", formatted_limit(option, seconds)});
  const auto is_over = [&program] { return has(program.err(), "ends: "); };
  std::shared_ptr<Slave> slave;
  REQUIRE(eventually([&] { return (slave = master.slaves.get_slave(no_wait)) || is_over(); }));
  const bool has_worked = slave && work(*slave);
  code = program.wait();
  if (!has_worked) return {};
  const Event gone;
  slave->on_disconnect([gone] { gone.happened(); });
  REQUIRE(gone.wait());
  return slave->lost_reason();
}

}  // namespace

TEST_CASE("a slave without work ends with 0 after its idle time, and its master hears why") {
  std::string reason;
  int code = -1;
  for (const int seconds : limits) {
    reason = reason_of_end("idle-exit", seconds, code);
    if (reason.empty()) continue;
    CHECK(has(reason, "the slave ends: no operation has run for " + std::to_string(seconds) + " s"));
    break;
  }
  CHECK_FALSE(reason.empty());
  CHECK(code == 0);
}

TEST_CASE("a slave whose lifetime is over ends when its operation has ended") {
  std::string reason;
  int code = -1;
  for (const int seconds : limits) {
    reason = reason_of_end("lifetime", seconds, code, [seconds](Slave& slave) {
      const auto lost = thrown_by<ConnectionLost>([&] {
        CHECK(slave.execute({"sleep", std::to_string(seconds + 1)}).ok());
      });
      return !lost || !has(lost->message(), "its lifetime");
    });
    if (reason.empty()) continue;
    CHECK(has(reason, "the slave ends: its lifetime of " + std::to_string(seconds) + " s is over"));
    break;
  }
  CHECK_FALSE(reason.empty());
  CHECK(code == 0);
}

TEST_CASE("a slave that no master accepts gives up, with the code of its last failure") {
  const TempDir dir;
  Program unreachable({"--master", "unix:" + (dir / "none"), "--basedir", dir / "base", "--give-up-after=1s"});
  CHECK(unreachable.wait() == 69);
  CHECK(has(unreachable.err(), "ends: no master has accepted it for 1 s"));
  SlaveCollection slaves;
  UnixSlaveListener refusing({.slave_collection = slaves,
                              .slave_class = [](SlaveInit) -> std::shared_ptr<Slave> { throw SlaveRefused("not you"); },
                              .path = dir / "socket"});
  refusing.start();
  int code = -1;
  for (const int seconds : limits) {
    Program refused(
        {"--master", refusing.address(), "--basedir", dir / "base", formatted_limit("give-up-after", seconds)});
    code = refused.wait();
    if (code != 77) continue;  // over before the first refusal
    CHECK(has(refused.err(), " s; at last: "));
    CHECK(has(refused.err(), "not you"));
    break;
  }
  CHECK(code == 77);
}

TEST_CASE("several masters are tried in turn, and one that is lost is replaced by the next") {
  const TempDir dir;
  std::optional<SocketMaster> first(std::in_place);
  SocketMaster second;
  Program program({"--master", "unix:" + (dir / "none"), "--master", first->listener.address(), "--master",
                   second.listener.address(), "--basedir", dir / "base"});
  const auto at_first = first->slaves.get_slave(ample);
  REQUIRE(at_first);
  CHECK(at_first->execute({"true"}).ok());
  CHECK(second.slaves.size() == 0);
  CHECK(has(program.err(), "; trying the next master"));
  first.reset();
  const auto at_second = second.slaves.get_slave(ample);
  REQUIRE(at_second);
  CHECK(at_second->execute({"true"}).ok());
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
}

TEST_CASE("with --once the first master that accepts the slave is the only one") {
  const TempDir dir;
  SocketMaster master;
  Program program({"--once", "--master", "unix:" + (dir / "none"), "--master", master.listener.address(), "--master",
                   "unix:" + (dir / "none"), "--basedir", dir / "base"});
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  slave->disconnect("that was all");
  CHECK(program.wait() == 0);
  Program nowhere(
      {"--once", "--master", "unix:" + (dir / "none"), "--master", "unix:" + (dir / "nor"), "--basedir", dir / "base"});
  CHECK(nowhere.wait() == 69);
}

}  // namespace remsh::test
