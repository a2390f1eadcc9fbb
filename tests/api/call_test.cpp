// Calls in general: patience, many at once, what is the user's own, and the end of a slave.
#include "support/played_slave.hpp"
#include "support/slaves.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <latch>
#include <map>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

using CallWithOptions = std::function<void(Slave&, const CallOptions&)>;

/// Every operation, with somebody's patience.
std::map<std::string, CallWithOptions> all_operations(const TempDir& here) {
  const auto execute = [](Slave& slave, const CallOptions& options) {
    slave.execute({"true"}, {.deadline = options.deadline, .stop = options.stop});
  };
  const auto fetch = [&here](Slave& slave, const CallOptions& options) {
    slave.fetch("file", Sink::file(here / "fetched"),
                {.overwrite = true, .deadline = options.deadline, .stop = options.stop});
  };
  const auto send = [](Slave& slave, const CallOptions& options) {
    slave.send(Source::bytes("x"), "sent", {.overwrite = true, .deadline = options.deadline, .stop = options.stop});
  };
  const auto path = [](const CallOptions& options) {
    return PathOptions{.overwrite = true, .deadline = options.deadline, .stop = options.stop};
  };
  return {
      {"set_cwd", [](Slave& slave, const CallOptions& options) { slave.set_cwd(options); }},
      {"getenv", [](Slave& slave, const CallOptions& options) { slave.getenv(options); }},
      {"mkdir 'd'", [](Slave& slave, const CallOptions& options) { slave.mkdir("d", options); }},
      {"remove 'missing'", [](Slave& slave, const CallOptions& options) { slave.remove("missing", options); }},
      {"rename 'file' to 'file'",
       [path](Slave& slave, const CallOptions& options) { slave.rename("file", "file", path(options)); }},
      {"copy 'file' to 'copy'",
       [path](Slave& slave, const CallOptions& options) { slave.copy("file", "copy", path(options)); }},
      {"stat 'file'",
       [](Slave& slave, const CallOptions& options) {
         slave.stat("file", {.deadline = options.deadline, .stop = options.stop});
       }},
      {"list '.'",
       [](Slave& slave, const CallOptions& options) {
         slave.list(".", {.deadline = options.deadline, .stop = options.stop});
       }},
      {"execute 'true'", execute},
      {"send to 'sent'", send},
      {"fetch 'file'", fetch},
      {"call 'echo'",
       [](Slave& slave, const CallOptions& options) {
         slave.call("echo", {}, {.deadline = options.deadline, .stop = options.stop});
       }},
      {"ping", [](Slave& slave, const CallOptions& options) { slave.ping(options); }},
      {"read_info", [](Slave& slave, const CallOptions& options) { slave.read_info(options); }},
      {"print", [](Slave& slave, const CallOptions& options) { slave.print("hello", options); }},
      {"operations", [](Slave& slave, const CallOptions& options) { slave.operations(options); }},
      {"log_tail", [](Slave& slave, const CallOptions& options) { slave.log_tail(1, options); }},
      {"host_facts", [](Slave& slave, const CallOptions& options) { slave.host_facts(options); }},
  };
}

/// How long after its deadline, or its stop, a call returns at the latest.
constexpr auto promptly = 250ms;

/// The shortest of up to five times that a function takes: a busy machine may hold up some of them.
template <class Function>
Duration best_time(const Function& function) {
  auto best = Duration::max();
  for (int round = 0; round < 5 && best > promptly; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    best = std::min<Duration>(best, std::chrono::steady_clock::now() - begin);
  }
  return best;
}

}  // namespace

TEST_CASE("patience ends every operation on a slave that does not answer, and the slave stays usable") {
  const TempDir here;
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  slave->send(Source::bytes("content"), "file");
  const pid_t process = process_of(*slave);
  for (const auto& example : all_operations(here)) {
    const auto& name = example.first;
    const auto& attempt = example.second;
    CAPTURE(name);
    REQUIRE(stop_process(process));
    std::optional<Timeout> timeout;
    const auto late = best_time([&] { timeout = thrown_by<Timeout>([&] { attempt(*slave, {.deadline = 20ms}); }); });
    std::stop_source stop;
    stop.request_stop();
    std::optional<Cancelled> cancelled;
    const auto stopped = best_time(
        [&] { cancelled = thrown_by<Cancelled>([&] { attempt(*slave, {.stop = stop.get_token()}); }); });
    REQUIRE(::kill(process, SIGCONT) == 0);
    CHECK(late >= 20ms);
    CHECK(late <= 20ms + promptly);
    CHECK(stopped <= promptly);
    REQUIRE(timeout);
    CHECK(timeout->slave() == "worker");
    CHECK(timeout->operation() == name);
    REQUIRE(cancelled);
    CHECK(cancelled->operation() == name);
    CHECK_FALSE(here.has("fetched"));
    CHECK(slave->execute({"true"}).ok());
    CHECK_NOTHROW(attempt(*slave, {.deadline = ample}));
    here.write("fetched", "");
    CHECK(::unlink((here / "fetched").c_str()) == 0);
  }
}

TEST_CASE("a slave that goes when a call has reached it: its caller learns which it was, and what was asked of it") {
  const TempDir here;
  for (const auto& example : all_operations(here)) {
    for (const Bytes& last_words : {Bytes(), Bytes("\0\7_answ", 7)}) {  // nothing, or a piece of a box
      const auto& name = example.first;
      const auto& attempt = example.second;
      CAPTURE(name);
      CAPTURE(last_words.size());
      Farm farm(Over::tcp);
      const int socket = connect_to_port(farm.port());
      const auto connection = register_by_hand(socket_transport(socket, "a test"), "worker");
      const auto slave = farm.slaves.get_slave(ample);
      REQUIRE(slave);
      std::optional<ConnectionLost> lost;
      std::jthread caller([&] { lost = thrown_by<ConnectionLost>([&] { attempt(*slave, {.deadline = ample}); }); });
      REQUIRE(connection->read_box(ample));
      static_cast<void>(::send(socket, last_words.data(), last_words.size(), MSG_NOSIGNAL));
      connection->close();
      caller.join();
      REQUIRE(lost);
      CHECK(lost->slave() == "worker");
      CHECK(lost->operation() == name);
      CHECK_FALSE(lost->message().empty());
      CHECK(here.count() == 0);
      CHECK_FALSE(slave->is_connected());
      CHECK(eventually([&] { return farm.slaves.size() == 0; }));
    }
  }
}

TEST_CASE("a caller that leaves takes its command along") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    for (auto patience = 100ms; true; patience *= 2) {  // until the command has begun before its caller leaves
      const Lifeline late;
      CHECK_THROWS_AS(slave.execute(late.endless_command(), {.deadline = patience}), Timeout);
      if (!late.has_begun()) {
        REQUIRE(patience < ample);
        continue;
      }
      CHECK(late.wait_for_end());
      break;
    }
    const Lifeline cancelled;
    std::stop_source stop;
    const std::jthread canceller([&] {
      CHECK(cancelled.wait_for_begin());
      stop.request_stop();
    });
    CHECK_THROWS_AS(slave.execute(cancelled.endless_command(), {.stop = stop.get_token()}), Cancelled);
    CHECK(cancelled.wait_for_end());
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("an operation of the user's own is told that nobody wants it any more") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    CHECK_THROWS_AS(slave.call("until_cancelled", {}, {.deadline = 20ms}), Timeout);
    CHECK(eventually([&] { return farm.dir.has("worker/cancelled"); }));
    slave.remove("begun");
    slave.remove("cancelled");
    std::stop_source stop;
    const std::jthread canceller([&] {
      static_cast<void>(eventually([&] { return farm.dir.has("worker/begun"); }));
      stop.request_stop();
    });
    CHECK_THROWS_AS(slave.call("until_cancelled", {}, {.stop = stop.get_token()}), Cancelled);
    CHECK(eventually([&] { return farm.dir.has("worker/cancelled"); }));
  });
}

TEST_CASE("an operation that does not return holds up neither other calls, nor the way back, nor the end") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  UnixSlaveListener listener({.slave_collection = slaves, .path = dir / "socket"});
  listener.start();
  std::latch go(1);
  std::atomic<int> inside = 0;
  SlaveOptions options{.name = "worker", .basedir = dir / "worker", .threads = 2, .log = log.hook()};
  SlaveServer server(std::move(options));
  server.add_operation("hang", [&](OperationContext&) -> Box {
    ++inside;
    go.wait();
    --inside;
    return {};
  });
  std::jthread thread([&] { server.run(listener.address()); });
  auto slave = slaves.get_slave(ample);
  REQUIRE(slave);
  for (int i = 0; i < 3; ++i) CHECK_THROWS_AS(slave->call("hang", {}, {.deadline = 20ms}), Timeout);
  CHECK(slave->stat(".", {.deadline = ample}));  // two of three hold all the threads there are, at first
  slave->disconnect();
  const auto again = slaves.get_slave(ample, [&](const Slave& other) { return &other != slave.get(); });
  REQUIRE(again);
  CHECK(again->stat(".", {.deadline = ample}));
  CHECK(log.wait_for("operations have not returned (hang): going on without them"));
  server.stop();
  thread.join();  // run() returns beside them; the destructor waits for them, as they are the user's
  CHECK(inside > 0);
  go.count_down();
}

TEST_CASE("operations of the user's own answer, fail and do not exist") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    const Box arguments{{"a", "1"}, {"b", Bytes("\0\xff", 2)}};
    CHECK(slave.call("echo", arguments) == arguments);
    CHECK(slave.call("echo").empty());
    CHECK(slave.call("where").get("basedir") == slave.set_cwd());
    const auto failed = thrown_by<RemoteError>([&] { slave.call("throw", {{"why", "no paper"}}); });
    REQUIRE(failed);
    CHECK(failed->code() == Errc::remote_failure);
    CHECK(failed->message().find("no paper") != std::string::npos);
    CHECK(failed->operation() == "call 'throw'");
    const auto full = thrown_by<RemoteError>([&] { slave.call("throw_errno"); });
    REQUIRE(full);
    CHECK(full->os() == std::errc::no_space_on_device);
    const auto unknown = thrown_by<RemoteError>([&] { slave.call("no-such-operation"); });
    REQUIRE(unknown);
    CHECK(unknown->code() == Errc::unsupported);
    CHECK(unknown->message().find("no-such-operation") != std::string::npos);
    slave.ping();
    static_cast<void>(farm);
  });
}

TEST_CASE("a slave that cannot be is refused where it is made") {
  const auto refused = [](const auto& attempt) {
    const auto error = thrown_by<Error>(attempt);
    return error && error->code() == Errc::invalid_argument && !error->message().empty();
  };
  CHECK(refused([] { const SlaveServer server({.name = "no spaces"}); }));
  CHECK(refused([] { const SlaveServer server({.name = Bytes(65, 'x')}); }));
  SlaveServer server({.name = "worker"});
  for (const char* name : {"", "stat", "hello", "Upper", "-x", "_x", "a b"}) {
    CAPTURE(name);
    CHECK(refused([&] { server.add_operation(name, [](OperationContext&) { return Box(); }); }));
  }
  CHECK(refused([&] { server.add_operation("nothing", {}); }));
  server.add_operation("mine", [](OperationContext&) { return Box(); });
  const auto taken = thrown_by<Error>([&] { server.add_operation("mine", [](OperationContext&) { return Box(); }); });
  REQUIRE(taken);
  CHECK(taken->code() == Errc::in_use);
  for (const char* address : {"", "host", "host:", ":1", "host:0x1", "host:70000", "unix:", "[::1:5"}) {
    CAPTURE(address);
    CHECK(refused([&] { server.run_once(address); }));
    CHECK(refused([&] { server.run(address); }));
  }
}

TEST_CASE("sixteen threads use one slave at the same time") {
  on_every_transport(BeyondRemsh1::overwriting, [](Farm&, Slave& slave) {
    std::atomic<int> right = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&slave, &right, i] {
        const Bytes mine = "file" + std::to_string(i);
        const Bytes content(static_cast<std::size_t>(i) * 20'000, static_cast<char>('a' + i));
        for (int round = 0; round < 5; ++round) {
          slave.send(Source::bytes(content), mine, {.overwrite = true});
          const bool echoed = slave.execute({"cat"}, {.in = Source::bytes(content)}).out == content;
          Bytes back;
          slave.fetch(mine, Sink::bytes(back));
          const bool is_missing = !slave.stat(mine + "x");
          const bool fails = thrown_by<RemoteError>([&] { slave.stat(mine + "/x"); }).has_value();
          if (echoed && back == content && is_missing && fails && slave.stat(mine)->size == content.size()) ++right;
        }
      });
    }
    threads.clear();
    CHECK(right == 16 * 5);
  });
}

TEST_CASE("a caller that is slow to take output delays nobody else") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    const Event others_done;
    std::atomic<bool> waits = true;
    const Event began;
    std::jthread slow([&] {
      slave.execute({"head", "-c", "20000000", "/dev/zero"}, {.out = [&](BytesView) {
                      if (!waits.exchange(false)) return;
                      began.happened();
                      CHECK(others_done.wait());
                    }});
    });
    REQUIRE(began.wait());
    for (int i = 0; i < 20; ++i) CHECK(slave.execute({"echo", "x"}).out == "x\n");
    others_done.happened();
  });
}

TEST_CASE("the end of a slave is told once to everybody, also to those who ask later") {
  on_every_transport([](Farm& farm, Slave& slave) {
    std::atomic<int> calls = 0;
    const Event first;
    const Event second;
    slave.on_disconnect([&] {
      ++calls;
      first.happened();  // twice would throw
    });
    slave.on_disconnect([] { throw std::runtime_error("of no interest"); });
    slave.on_disconnect([&] {
      ++calls;
      second.happened();
    });
    CHECK(slave.is_connected());
    CHECK(slave.lost_reason().empty());
    CHECK(slave.ping() > 0ns);
    slave.disconnect("not needed any more");
    CHECK(first.wait());
    CHECK(second.wait());
    CHECK(calls == 2);
    CHECK_FALSE(slave.is_connected());
    CHECK(slave.lost_reason() == "not needed any more");
    bool late = false;
    slave.on_disconnect([&late] { late = true; });
    CHECK(late);
    slave.disconnect("again");
    CHECK(slave.lost_reason() == "not needed any more");
    CHECK(eventually([&] { return farm.slaves.size() == 0; }));
  });
}

TEST_CASE("calls in progress and later ones fail with the reason of the end") {
  on_every_transport([](Farm&, Slave& slave) {
    const Lifeline lifeline;
    std::jthread ender([&] {
      CHECK(lifeline.wait_for_begin());
      slave.disconnect("enough");
    });
    const auto during = thrown_by<ConnectionLost>([&] { slave.execute(lifeline.endless_command()); });
    ender.join();
    REQUIRE(during);
    CHECK(during->message() == "enough");
    CHECK(during->operation() == "execute 'sh'");
    CHECK(during->slave() == "worker");
    const auto after = thrown_by<ConnectionLost>([&] { slave.ping(); });
    REQUIRE(after);
    CHECK(after->message() == "enough");
    CHECK(lifeline.wait_for_end());
  });
}

TEST_CASE("a slave is told why it was sent away") {
  Farm farm(Over::tcp);
  auto& server = farm.call_in("worker");
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  slave->disconnect("maintenance\nuntil Monday");
  CHECK_FALSE(slave->is_connected());  // from this moment on, whatever the other side does
  CHECK(slave->lost_reason() == "maintenance\nuntil Monday");
  const ServeResult result = server.result();
  CHECK(result.reason == ServeResult::Reason::ended);
  CHECK(result.registered);
  CHECK(result.message.find("maintenance") != std::string::npos);
  CHECK(result.message.find('\n') == std::string::npos);
}

TEST_CASE("handles outlive the listener and the collection") {
  for (const Over over : all_transports) {
    CAPTURE(to_string(over));
    std::shared_ptr<Slave> slave;
    const Event ended;
    {
      Farm farm(over);
      slave = farm.start();
      slave->on_disconnect([ended] { ended.happened(); });
    }
    CHECK(ended.wait());
    CHECK(slave->name() == "worker");
    CHECK_FALSE(slave->is_connected());
    CHECK(thrown_by<ConnectionLost>([&] { slave->stat("."); }));
    bool late = false;
    slave->on_disconnect([&late] { late = true; });
    CHECK(late);
  }
}

TEST_CASE("a slave says who it is") {
  on_every_transport(BeyondRemsh1::info, [](Farm& farm, Slave& slave) {
    const SlaveInfo& info = slave.info();
    CHECK(info.name == "worker");
    CHECK(info.basedir == slave.set_cwd());
    CHECK(info.system == "linux");
    CHECK_FALSE(info.hostname.empty());
    CHECK(info.software.find(version) != std::string::npos);
    CHECK_FALSE(info.address.empty());
    CHECK(info.protocol == "remsh 2");
    CHECK(&slave.info() == &info);
    CHECK(farm.slaves.find("worker").get() == &slave);
    CHECK(eventually([&] { return farm.listener->last_accepted().get() == &slave; }));
  });
}

}  // namespace remsh::test
