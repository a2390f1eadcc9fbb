// Leases of slaves that run commands: nobody gets a slave while a command of its last holder lives.
#include "support/slaves.hpp"
#include "support/stubborn.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A master to whom one slave calls in through a socket that the test has its hand on.
class Cable {
 public:
  explicit Cable(unsigned protocol) : protocol_(protocol) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
    REQUIRE(::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening_, 8) == 0);
  }
  Cable(const Cable&) = delete;
  Cable& operator=(const Cable&) = delete;
  ~Cable() {
    cut();
    ::close(listening_);  // it does not come again
  }

  [[nodiscard]] std::string address() const { return "unix:" + path_; }

  /// Waits until the slave has come.
  std::shared_ptr<Slave> join() {
    const int socket = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    connected_ = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
    return listener_.handle_new_connection(socket_transport(socket, "a cable", true));
  }

  /// Neither side says goodbye.
  void cut() {
    if (connected_ < 0) return;
    ::shutdown(connected_, SHUT_RDWR);
    ::close(std::exchange(connected_, -1));
  }

  SlaveCollection slaves;

 private:
  [[nodiscard]] ListenerOptions options() {
    ListenerOptions options{.slave_collection = slaves};
    options.protocols = {protocol_ == 1 ? SlaveProtocol::remsh1() : SlaveProtocol::remsh2()};
    return options;
  }

  const unsigned protocol_;
  const TempDir dir_;
  const std::string path_ = dir_ / "socket";
  const int listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int connected_ = -1;
  TransportSlaveListener listener_{options()};
};

}  // namespace

TEST_CASE("of a slave that announces slots and resources several jobs have shares, over each transport") {
  for (const Over over : {Over::tcp, Over::tls, Over::unix_socket, Over::pipes, Over::memory}) {
    CAPTURE(to_string(over));
    Farm farm(over, {.slots = 2, .resources = {{"gpu", 1}}});
    const auto slave = farm.start();
    REQUIRE(slave);
    CHECK(slave->info().slots == 2);
    CHECK(slave->info().resources == std::map<std::string, std::uint64_t>{{"gpu", 1}});
    Lease first = farm.slaves.reserve({.deadline = no_wait, .slots = 1, .resources = {{"gpu", 1}}});
    Lease second = farm.slaves.reserve({.deadline = no_wait, .slots = 1});
    REQUIRE(first);
    REQUIRE(second);
    CHECK_FALSE(farm.slaves.reserve({.deadline = no_wait}));
    const Lifeline lifeline;
    auto runs = second->start_execute(lifeline.endless_command(), {.kill_after = 1ms});
    REQUIRE(lifeline.wait_for_begin());
    CHECK_THROWS_AS(first->execute({"sleep", "100000"}, {.kill_after = 1ms, .deadline = 1ms}), Timeout);
    first.release();  // what was left is being ended, and the other one goes on
    first = farm.slaves.reserve({.deadline = ample, .slots = 1, .resources = {{"gpu", 1}}});
    REQUIRE(first);
    CHECK_FALSE(lifeline.has_ended());
    runs.cancel();
    second.release();
    CHECK(lifeline.wait_for_end());
    second = farm.slaves.reserve({.deadline = ample, .slots = 1});
    CHECK(second);
  }
}

TEST_CASE("whoever reserves a slave next finds no command of the last holder, however that one left it") {
  using Leave = std::function<void(Slave&, const Stubborn&)>;
  const ExecuteOptions patient{.kill_after = std::chrono::hours(1)};
  const std::map<std::string, Leave> ways = {
      {"by a deadline",
       [&](Slave& slave, const Stubborn& stubborn) {
         ExecuteOptions options = patient;
         options.deadline = std::chrono::seconds(5);  // it has begun by then
         CHECK_THROWS_AS(static_cast<void>(slave.execute(stubborn.command(), options)), Timeout);
         REQUIRE(stubborn.lifeline.wait_for_begin());
       }},
      {"by a stop",
       [&](Slave& slave, const Stubborn& stubborn) {
         std::stop_source stop;
         ExecuteOptions options = patient;
         options.stop = stop.get_token();
         auto done = std::async(std::launch::async, [&] {
           CHECK_THROWS_AS(static_cast<void>(slave.execute(stubborn.command(), options)), Cancelled);
         });
         CHECK(stubborn.lifeline.wait_for_begin());
         stop.request_stop();
         done.get();
       }},
      {"by dropping what was started",
       [&](Slave& slave, const Stubborn& stubborn) {
         const auto pending = slave.start_execute(stubborn.command(), patient);
         CHECK(stubborn.lifeline.wait_for_begin());
       }},
  };
  for (const Over over : {Over::local_process, Over::tcp}) {
    Farm farm(over);
    const auto slave = farm.start();
    REQUIRE(slave != nullptr);
    for (const auto& way : ways) {
      const auto& words = way.first;
      const auto& leave = way.second;
      CAPTURE(words);
      const Stubborn stubborn;
      Lease lease = farm.slaves.reserve({.owner = "job 1", .deadline = no_wait});
      REQUIRE(lease);
      leave(*lease, stubborn);
      lease.release();
      CHECK_FALSE(farm.slaves.reserve({.deadline = no_wait}));
      const SlaveStatus status = farm.slaves.snapshot().at(0);
      CHECK(status.releasing);
      CHECK(status.reserved_by == "job 1");

      auto next = std::async(std::launch::async, [&] {
        Lease second = farm.slaves.reserve({.deadline = ample});
        CHECK(second);
        CHECK(stubborn.lifeline.wait_for_end());  // it has
        return second;
      });
      stubborn.open_gate();
      CHECK(next.get()->ping() > std::chrono::nanoseconds(0));
    }
  }
}

TEST_CASE("whoever reserves a slave that comes again finds no command of its last connection, however that ended") {
  for (const unsigned protocol : {2U, 1U}) {
    for (const bool is_cut : {true, false}) {
      CAPTURE(protocol);
      CAPTURE(is_cut);
      const TempDir dir;
      Cable cable(protocol);
      SlaveOptions options{.name = "w1", .basedir = dir.path(), .keyless = true};
      options.protocol = protocol;
      options.back_off_min = options.back_off_max = 1ms;
      SlaveThread program(options, [&cable](SlaveServer& server) { return server.run(cable.address()); });
      const auto first = cable.join();
      Lease lease = cable.slaves.reserve({.deadline = no_wait});
      REQUIRE(lease);
      const Stubborn stubborn;
      const auto pending = lease->start_execute(stubborn.command(), {.kill_after = 1s});
      REQUIRE(stubborn.lifeline.wait_for_begin());

      if (is_cut) {
        cable.cut();
      } else {
        first->disconnect("come back");
      }
      const auto again = cable.join();
      CHECK(stubborn.lifeline.has_ended());
      lease = cable.slaves.reserve({.deadline = ample});
      CHECK(lease.slave() == again);
      program.server().stop();
    }
  }
}

TEST_CASE("a kill that may take an hour does not keep a slave away that was cut during it") {
  const TempDir dir;
  Cable cable(2U);
  SlaveOptions options{.name = "w1", .basedir = dir.path(), .keyless = true};
  options.back_off_min = options.back_off_max = 1ms;
  SlaveThread program(options, [&cable](SlaveServer& server) { return server.run(cable.address()); });
  cable.join();
  Lease lease = cable.slaves.reserve({.deadline = no_wait});
  const Stubborn stubborn;
  auto pending = lease->start_execute(stubborn.command(), {.kill_after = std::chrono::hours(1)});
  REQUIRE(stubborn.lifeline.wait_for_begin());
  pending.cancel();
  lease->ping();  // behind the cancel, which so has begun the kill
  cable.cut();
  const auto again = cable.join();
  CHECK(stubborn.lifeline.has_ended());
  CHECK(cable.slaves.reserve({.deadline = ample}).slave() == again);
  program.server().stop();
}

TEST_CASE("a slave that dies with the command of its last holder is not free, but gone") {
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  const pid_t process = process_of(*slave);
  const Stubborn stubborn;
  {
    const Lease lease = farm.slaves.reserve({.deadline = no_wait});
    const auto pending = lease->start_execute(stubborn.command(), {.kill_after = std::chrono::hours(1)});
    CHECK(stubborn.lifeline.wait_for_begin());
  }
  auto next = std::async(std::launch::async, [&] { return farm.slaves.reserve({.deadline = ample}); });
  CHECK(::kill(process, SIGKILL) == 0);
  const auto again = farm.start("another");
  CHECK(next.get().slave() == again);
  stubborn.open_gate();
}

}  // namespace remsh::test
