// What both sides know of the operations that are not over.
#include "support/slaves.hpp"
#include "support/stubborn.hpp"

#include <chrono>
#include <future>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using Arguments = std::vector<Bytes>;

/// Ends a command whatever becomes of the test.
struct OpensGate {
  const Stubborn& stubborn;
  ~OpensGate() {
    if (!is_open) stubborn.open_gate();
  }
  void open() {
    stubborn.open_gate();
    is_open = true;
  }
  bool is_open = false;
};

}  // namespace

TEST_CASE("a slave's operations are listed while they run") {
  on_every_transport([](Farm&, Slave& slave) {
    CHECK(slave.operations_in_progress().empty());
    const Stubborn stubborn;
    auto pending = slave.start_execute(stubborn.command(), {.tag = "job 7"});
    REQUIRE(stubborn.lifeline.wait_for_begin());
    OpensGate gate{stubborn};
    const auto all = slave.operations_in_progress();
    REQUIRE(all.size() == 1);
    CHECK(all[0].operation == "execute");
    CHECK(all[0].arguments == stubborn.command());
    CHECK(all[0].tag == "job 7");
    CHECK_FALSE(all[0].caller_left);
    gate.open();
    CHECK(pending.wait().exit_code == 1);
    CHECK(slave.operations_in_progress().empty());
  });
}

TEST_CASE("an operation that its caller has left is listed until the slave has ended it") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    const Stubborn stubborn;
    std::stop_source stop;
    auto left = slave.start_execute(stubborn.command(),
                                    {.kill_after = std::chrono::hours(1), .stop = stop.get_token(), .tag = "left"});
    REQUIRE(stubborn.lifeline.wait_for_begin());
    OpensGate gate{stubborn};
    stop.request_stop();
    CHECK_THROWS_AS(left.wait(), Cancelled);
    auto ping = slave.start_ping({.tag = "later"});
    ping.wait_until(block);
    const auto all = slave.operations_in_progress();
    REQUIRE(all.size() == 2);
    CHECK(all[0].tag == "left");
    CHECK(all[0].caller_left);
    CHECK(all[1].tag == "later");
    CHECK_FALSE(all[1].caller_left);
    CHECK(all[1].id > all[0].id);
    ping.wait();
    gate.open();
    CHECK(eventually([&slave] { return slave.operations_in_progress().empty(); }));
  });
}

TEST_CASE("an operation that waits for its turn at an original slave is listed") {
  if (TwistedSlaves::are_wanted()) return;
  on_each({Over::remsh1}, [](Farm&, Slave& slave) {
    const Stubborn stubborn;
    auto running = slave.start_execute(stubborn.command());
    REQUIRE(stubborn.lifeline.wait_for_begin());
    OpensGate gate{stubborn};
    auto waiting = slave.start_mkdir("directory");
    const auto all = slave.operations_in_progress();
    REQUIRE(all.size() == 2);
    CHECK(all[1].operation == "mkdir");
    CHECK(all[1].arguments == Arguments{"directory"});
    gate.open();
    CHECK(running.wait().exit_code == 1);
    waiting.wait();
    CHECK(slave.operations_in_progress().empty());
  });
}

TEST_CASE("a file that is fetched is listed with how far it is") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  slave->send(Source::bytes(Bytes(300'000, 'x')), "file");
  std::optional<OperationInProgress> seen;
  std::uint64_t taken = 0;
  slave->fetch("file", [&](BytesView bytes) {
    const auto all = slave->operations_in_progress();
    REQUIRE(all.size() == 1);
    CHECK(all[0].bytes_out == taken);
    CHECK(all[0].bytes_total == 300'000);
    taken += bytes.size();
    seen = all[0];
  });
  REQUIRE(seen);
  CHECK(seen->operation == "fetch");
  CHECK(seen->arguments == Arguments{"file"});
  CHECK(seen->bytes_out > 0);
}

TEST_CASE("a slave lists what it does for its master, with the process of a command") {
  if (TwistedSlaves::are_wanted()) return;
  for (const Over over : {Over::tcp, Over::remsh1}) {
    const std::string words = to_string(over);
    CAPTURE(words);
    Farm farm(over);
    SlaveServer& server = farm.call_in("worker").server();
    const auto slave = farm.slaves.get_slave(ample);
    REQUIRE(slave);
    CHECK(server.operations_in_progress().empty());

    const Stubborn stubborn;
    auto pending = slave->start_execute(stubborn.command());
    REQUIRE(stubborn.lifeline.wait_for_begin());
    OpensGate gate{stubborn};
    REQUIRE(eventually([&server] {
      const auto all = server.operations_in_progress();
      return all.size() == 1 && all[0].process;  // which is noted when the program has begun
    }));
    const ServedOperation served = server.operations_in_progress().front();
    CHECK(served.operation == "execute");
    CHECK(served.arguments == stubborn.command());
    CHECK(::kill(*served.process, 0) == 0);
    CHECK(served.start <= std::chrono::system_clock::now());
    CHECK_FALSE(served.cancelled);
    gate.open();
    pending.wait();
    CHECK(server.operations_in_progress().empty());
  }
}

TEST_CASE("neither side lists a secret") {
  if (TwistedSlaves::are_wanted()) return;
  Farm farm(Over::tcp);
  SlaveServer& server = farm.call_in("worker").server();
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const Stubborn stubborn;
  std::vector<Bytes> command = stubborn.command();
  command.emplace_back("--password=hunter2");
  auto pending = slave->start_execute(command, {.env = {{"TOKEN", "hunter2"}}, .secrets = {"hunter2"}});
  REQUIRE(stubborn.lifeline.wait_for_begin());
  OpensGate gate{stubborn};
  const auto here = slave->operations_in_progress();
  REQUIRE(here.size() == 1);
  CHECK(here[0].arguments.back() == "--password=***");
  const auto there = server.operations_in_progress();
  REQUIRE(there.size() == 1);
  CHECK(there[0].arguments.back() == "--password=***");
  gate.open();
  CHECK(pending.wait().exit_code == 1);
}

TEST_CASE("a slave lists what its master has cancelled until it has ended") {
  if (TwistedSlaves::are_wanted()) return;
  Farm farm(Over::tcp);
  SlaveServer& server = farm.call_in("worker").server();
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const Stubborn stubborn;
  {
    auto dropped = slave->start_execute(stubborn.command(), {.cwd = ".", .kill_after = std::chrono::hours(1)});
    REQUIRE(stubborn.lifeline.wait_for_begin());
  }
  OpensGate gate{stubborn};
  REQUIRE(eventually([&server] { return server.operations_in_progress().at(0).cancelled; }));
  CHECK(server.operations_in_progress().front().cwd == ".");
  gate.open();
  CHECK(eventually([&server] { return server.operations_in_progress().empty(); }));
}

TEST_CASE("a slave lists an operation that goes on after its connection has ended") {
  if (TwistedSlaves::are_wanted()) return;
  std::promise<void> begun;
  std::promise<void> end;
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves});
  auto [ours, theirs] = memory_pair();
  const TempDir dir;
  SlaveServer server({.name = "worker", .basedir = dir / "worker", .keyless = true});
  server.add_operation("hang", [&](OperationContext&) {
    begun.set_value();
    end.get_future().wait();
    return Box{};
  });
  auto result = std::async(std::launch::async, [&server, transport = std::move(theirs)]() mutable {
    return server.serve(std::move(transport));
  });
  const auto slave = listener.handle_new_connection(std::move(ours));
  auto hanging = slave->start_call("hang", {{"key", "secret"}});
  begun.get_future().wait();
  auto all = server.operations_in_progress();
  REQUIRE(all.size() == 1);
  CHECK(all[0].operation == "hang");
  CHECK(all[0].arguments.empty());
  CHECK_FALSE(all[0].process);
  slave->disconnect();
  CHECK_THROWS_AS(hanging.wait(), ConnectionLost);
  CHECK(result.get().reason == ServeResult::Reason::ended);  // it was left behind
  all = server.operations_in_progress();
  REQUIRE(all.size() == 1);
  CHECK(all[0].cancelled);
  end.set_value();
  CHECK(eventually([&server] { return server.operations_in_progress().empty(); }));
}

}  // namespace remsh::test
