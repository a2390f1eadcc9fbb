// How a SlaveServer comes to its master, and comes back.
#include <remsh/slave/slave_server.hpp>

#include "os/unique_fd.hpp"
#include "support/has.hpp"
#include "support/slaves.hpp"
#include "support/temp_dir.hpp"
#include "support/tls.hpp"
#include "support/watched_calls.hpp"
#include "transport/endpoint.hpp"

#include <doctest/doctest.h>
#include <remsh/master.hpp>
#include <remsh/transport/memory.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

}  // namespace

TEST_CASE("a master that says nothing is given up after the handshake's time, wherever it stops") {
  const TempDir dir;
  auto listening = listen_tcp("127.0.0.1", 0, 8);  // the system accepts, nobody reads
  REQUIRE(listening);
  const std::string port = std::to_string(local_port(listening->get()));
  SlaveOptions options{.name = "w1", .basedir = dir / "w1", .key = key_of('k')};
  options.handshake_timeout = 10ms;

  SlaveServer server(options);
  ServeResult result = server.run_once("tls:127.0.0.1:" + port);
  CHECK(result.reason == ServeResult::Reason::unreachable);
  CHECK(has(result.message, "in time"));
  result = server.run_once("tcp:127.0.0.1:" + port);
  CHECK_FALSE(result.registered);
  CHECK(has(result.message, "in time"));
  auto [ours, theirs] = memory_pair();
  result = server.serve(std::move(theirs));
  CHECK_FALSE(result.registered);
  CHECK(has(result.message, "in time"));

  options.key.reset();
  options.protocol = 1;
  for (const auto time : {10ms, 1000ms, 10000ms}) {  // it must be connected in time
    options.handshake_timeout = time;
    SlaveServer of_remsh1(options);
    result = of_remsh1.run_once("tcp:127.0.0.1:" + port);
    if (result.reason != ServeResult::Reason::unreachable) break;
  }
  CHECK(result.reason == ServeResult::Reason::lost);
  CHECK(has(result.message, "not registered this slave in time"));
}

TEST_CASE("a connection that is cut before the welcome is said to be that") {
  const TempDir dir;
  auto listening = listen_tcp("127.0.0.1", 0, 8);
  REQUIRE(listening);
  SlaveThread slave({.name = "w1", .basedir = dir / "w1", .keyless = true}, [&](SlaveServer& server) {
    return server.run_once("127.0.0.1:" + std::to_string(local_port(listening->get())));
  });
  pollfd ready{listening->get(), POLLIN, 0};
  REQUIRE(::poll(&ready, 1, 60000) == 1);
  {
    const Accepted accepted = accept_one(listening->get());
    REQUIRE(accepted.socket);
    pollfd has_hello{accepted.socket.get(), POLLIN, 0};
    REQUIRE(::poll(&has_hello, 1, 60000) == 1);
    const linger cut{.l_onoff = 1, .l_linger = 0};  // a reset in place of an end
    REQUIRE(::setsockopt(accepted.socket.get(), SOL_SOCKET, SO_LINGER, &cut, sizeof cut) == 0);
  }
  const ServeResult result = slave.result();
  CHECK(result.reason == ServeResult::Reason::lost);
  CHECK(has(result.message, "lost before it had let this slave in: "));
}

TEST_CASE("a stop that comes while the master turns the slave away ends it as stopped") {
  const TempDir dir;
  SlaveCollection slaves;
  TcpSlaveListener listener(
      {.slave_collection = slaves,
       .slave_class = [](SlaveInit) -> std::shared_ptr<Slave> { throw SlaveRefused("come back on Monday"); },
       .keyless = true});
  listener.start();
  SlaveServer* stopped = nullptr;
  SlaveOptions options{.name = "w1", .basedir = dir / "w1", .keyless = true};
  options.trace = [&stopped](const TraceRecord& record) {
    if (!record.sent && has(record.text, "Monday")) stopped->stop();
  };
  SlaveServer server(options);
  stopped = &server;
  CHECK(server.run(listener.address()).reason == ServeResult::Reason::stopped);
}

TEST_CASE("a slave that is let in and sent away at once comes less and less often") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  class Failing : public Slave {
   public:
    using Slave::Slave;
    void setup() override { throw std::runtime_error("no room on the shelf"); }
  };
  TcpSlaveListener listener({.slave_collection = slaves, .slave_class = slave_class<Failing>(), .keyless = true});
  listener.start();
  SlaveOptions options{.name = "w1", .basedir = dir / "w1", .keyless = true};
  options.back_off_min = 1ms;
  options.log = log.hook();
  SlaveThread slave(options, [&](SlaveServer& server) { return server.run(listener.address()); });
  CHECK(log.wait_for("no room on the shelf"));
  CHECK(log.wait_for("; connecting again in 0."));  // pauses of 1 ms at most are "less than 0.1 s"
}

TEST_CASE("a slave that waits connects at once when it is told to") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  UnixListenerOptions listener_options{.slave_collection = slaves, .path = dir / "socket"};
  SlaveOptions options{.name = "w1", .basedir = dir / "w1"};
  options.back_off_min = options.back_off_max = 24h;  // a random pause: shorter than a minute once in 1,440 runs
  options.log = log.hook();
  SlaveThread slave(options, [&](SlaveServer& server) { return server.run("unix:" + (dir / "socket")); });
  REQUIRE(log.wait_for("; connecting again in "));
  const std::string address = "unix:" + (dir / "socket");
  CHECK(has(log.text(), "slave " + address + ": "));
  CHECK_FALSE(has(log.text(), address + ": " + address));  // the log says it already
  UnixSlaveListener listener(std::move(listener_options));
  listener.start();
  slave.server().connect_now();
  CHECK(slaves.get_slave(ample));
}

TEST_CASE("a slave that waits reads its key file again, and connects, when it is told to") {
  const TempDir dir;
  const Log log;
  const auto give_key = [&dir](const Secret& key) {
    dir.write("w1.key", "w1 " + key.to_base64() + "\n");
    REQUIRE(::chmod((dir / "w1.key").c_str(), 0600) == 0);
  };
  give_key(key_of('o'));
  SlaveOptions options{.basedir = dir / "w1", .key_file = dir / "w1.key"};
  options.back_off_min = options.back_off_max = 24h;  // a random pause: shorter than a minute once in 1,440 runs
  options.log = log.hook();
  SlaveThread slave(options, [&](SlaveServer& server) { return server.run("unix:" + (dir / "socket")); });
  REQUIRE(log.wait_for("; connecting again in "));
  KeyRing keys;
  const KeyRegistration line = keys.register_slave("w1", key_of('n'));
  SlaveCollection slaves;
  UnixSlaveListener listener({.slave_collection = slaves, .keys = keys, .path = dir / "socket"});
  listener.start();
  give_key(key_of('n'));
  slave.server().connect_now();
  CHECK(slaves.get_slave(ample));
}

TEST_CASE("what a killed slave left on a disk that hangs holds up neither the next slave nor its end") {
  const TempDir dir;
  for (const char* name : {"base", "base/.remsh-parts", "disk"}) REQUIRE(::mkdir((dir / name).c_str(), 0700) == 0);
  const std::string part = ".remsh-0123456789abcdef.part";
  dir.write("disk/" + part, "half");
  dir.write("base/.remsh-parts/" + part, dir / "disk\n");
  SlaveCollection slaves;
  UnixSlaveListener listener({.slave_collection = slaves, .path = dir / "socket"});
  listener.start();

  std::optional<SlaveServer> server(SlaveOptions{.name = "w1", .basedir = dir / "base"});
  const Event ended;
  bool is_first = true;
  const bool is_watched = watch_calls(
      SYS_unlinkat,
      [&](const WatchedCall&) {
        if (!std::exchange(is_first, false)) return 0;
        CHECK(slaves.get_slave(10s) != nullptr);
        server->stop();
        CHECK(ended.wait(10s));
        CHECK(dir.has("disk/" + part));
        return 0;  // now the disk answers
      },
      [&] {
        server->run_once(listener.address());
        server.reset();
        ended.happened();
      });
  if (!is_watched) return;
  CHECK_FALSE(is_first);
  CHECK_FALSE(dir.has("disk/" + part));
  CHECK_FALSE(dir.has("base/.remsh-parts"));
}

TEST_CASE("a slave that has both a key and a file of one is refused") {
  SlaveOptions options{.name = "w1", .key = key_of('k'), .key_file = "w1.key"};
  CHECK_THROWS_AS(SlaveServer{options}, Error);
}

}  // namespace remsh::test
