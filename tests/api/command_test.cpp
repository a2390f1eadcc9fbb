// Started commands: what their handles do, from any thread.
#include "support/slaves.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// Reads what it is given, in lines, and repeats each in brackets.
const std::vector<Bytes> brackets{"sh", "-c", "while read -r line; do echo \"[$line]\"; done"};

}  // namespace

TEST_CASE("a command that is started is a process, and its handle interrupts it and all that it has started") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    const Lifeline lifeline;
    Command command = slave.start(lifeline.endless_command(), {.kill_after = 5s});
    REQUIRE(lifeline.wait_for_begin());
    CHECK(command.id() > 0);
    CHECK(command.args() == lifeline.endless_command());
    CHECK(command.state() == CommandState::running);
    CHECK_FALSE(command.wait_until(no_wait));
    CHECK(command.elapsed() > 0ns);
    CHECK(command.interrupt("the test\nwants it"));
    const ExecuteResult result = command.wait();
    CHECK(result.signal == SIGTERM);
    CHECK(result.interrupted);
    CHECK_FALSE(result.timed_out);
    CHECK(to_string(result) == "signal 15, interrupted");
    CHECK(command.state() == CommandState::over);
    CHECK(lifeline.wait_for_end());
    const auto elapsed = command.elapsed();
    CHECK(command.elapsed() == elapsed);
  });
}

TEST_CASE("an interrupt finds a command whose process does not exist yet") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    for (int i = 0; i < 20; ++i) {
      Command command = slave.start({"sleep", "100000"});
      CHECK(command.interrupt());
      CHECK(command.wait().interrupted);
    }
  });
}

TEST_CASE("the output that a command writes while it is interrupted arrives") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    std::vector<Bytes> seen;
    Command command = slave.start({"sh", "-c", "trap 'echo cleaned up; exit 3' TERM; echo ready; read -r line"},
                                  {.in = Source::writes(),
                                   .out = lines([&](BytesView line) {
                                     seen.emplace_back(line);
                                     if (line == "ready") CHECK(command.interrupt());
                                   }),
                                   .kill_after = 60s});
    const ExecuteResult result = command.wait();
    CHECK(result.exit_code == 3);
    CHECK(result.interrupted);
    CHECK(seen == std::vector<Bytes>{"ready", "cleaned up"});
  });
}

TEST_CASE("the header of a command says where it runs before it ends, and why it is ended") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    std::vector<Bytes> seen;
    Command command = slave.start({"sleep", "100000"}, {.header = lines([&](BytesView line) {
                                                          seen.emplace_back(line);
                                                          if (line.starts_with("process: ")) {
                                                            CHECK(command.interrupt("the\ntest wants it"));
                                                          }
                                                        })});
    const ExecuteResult result = command.wait();
    CHECK(result.interrupted);
    REQUIRE(seen.size() == 6);
    CHECK(seen[3] == "process: " + std::to_string(result.pid.value_or(0)));
    CHECK(seen[4].starts_with("ending: interrupted (the"));
    CHECK(seen[4].ends_with("test wants it), SIGTERM"));
    CHECK(seen[5].starts_with("ended: signal 15, interrupted"));
  });
}

TEST_CASE("an interrupt or a signal for a command that is over, or never was, does nothing and says so") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    Command command = slave.start({"true"});
    CHECK(command.wait().ok());
    CHECK_FALSE(command.interrupt());
    CHECK_FALSE(command.signal(SIGTERM));
    CHECK_FALSE(slave.interrupt(command.id()));
    CHECK_FALSE(slave.signal(command.id(), SIGTERM));
    CHECK_FALSE(slave.interrupt(123'456'789));
    CHECK_FALSE(slave.start_interrupt(0).wait());

    std::uint64_t id = 0;  // of an operation that is no command
    slave.send(
        [&, sent = false](std::span<char> buffer) mutable -> std::size_t {
          if (std::exchange(sent, true)) return 0;
          id = slave.operations_in_progress().front().id;
          CHECK_FALSE(slave.interrupt(id));
          buffer[0] = 'x';
          return 1;
        },
        "file");
    CHECK(id > 0);
    CHECK(slave.is_connected());
  });
}

TEST_CASE("what runs on a slave can be seen, and interrupted by its number") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    CHECK(slave.commands().empty());
    Command first = slave.start({"sleep", "100000"}, {.tag = "build 17"});
    Command second = slave.start({"sleep", "200000"});
    const auto running = slave.commands();
    REQUIRE(running.size() == 2);
    CHECK(running[0].id == first.id());
    CHECK(running[0].tag == "build 17");
    CHECK(running[1].arguments == std::vector<Bytes>{"sleep", "200000"});
    CHECK(slave.interrupt(running[1].id, "by an operator"));
    CHECK(second.wait().interrupted);
    CHECK(first.state() == CommandState::running);
    CHECK(slave.start_interrupt(running[0].id).wait());
    CHECK(first.wait().interrupted);
    CHECK(slave.commands().empty());
  });
}

TEST_CASE("a signal reaches the processes of a command") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    std::atomic<bool> is_ready = false;
    Command command = slave.start({"sh", "-c", "trap 'echo signalled; exit 4' USR1; echo ready; read -r line"},
                                  {.in = Source::writes(), .out = lines([&](BytesView line) {
                                                             if (line == "ready") is_ready = true;
                                                             if (line == "ready") CHECK(command.signal(SIGUSR1));
                                                           })});
    const ExecuteResult result = command.wait();
    CHECK(is_ready);
    CHECK(result.exit_code == 4);
    CHECK_FALSE(result.interrupted);

    Command other = slave.start({"sleep", "100000"});
    const auto refused = thrown_by<Error>([&] { other.signal(65); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    CHECK_THROWS_AS(other.signal(-1), Error);
    CHECK(other.signal(SIGKILL));
    CHECK(other.wait().signal == SIGKILL);
  });
}

TEST_CASE("the terminal of a command is resized while it runs") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    std::vector<Bytes> seen;
    Command command =
        slave.start({"sh", "-c", "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.01; done"},
                    {.out = lines([&](BytesView line) {
                       seen.emplace_back(line.substr(0, line.find('\r')));
                       if (seen.size() == 1) CHECK(command.resize({.columns = 132, .rows = 43}));
                     }),
                     .terminal = Terminal{.columns = 80, .rows = 24}});
    CHECK(command.wait().ok());
    CHECK(seen == std::vector<Bytes>{"24 80", "43 132"});
    CHECK_FALSE(command.resize({}));

    Command without = slave.start({"sleep", "100000"});
    const auto refused = thrown_by<Error>([&] { without.resize({}); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    CHECK_THROWS_AS(without.resize({.columns = 0, .rows = 24}), Error);
    CHECK(without.interrupt());
    CHECK(without.wait().interrupted);
  });
}

TEST_CASE("the input of a command is written while it runs") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    std::vector<Bytes> seen;
    Command command = slave.start(brackets, {.in = Source::writes(), .out = lines([&](BytesView line) {
                                                                       seen.emplace_back(line);
                                                                       if (seen.size() == 1)
                                                                         CHECK(command.write("two\n"));
                                                                       if (seen.size() == 2) command.close_stdin();
                                                                     })});
    CHECK(command.write("on"));
    CHECK(command.write("e\n"));
    CHECK(command.wait().ok());
    CHECK(seen == std::vector<Bytes>{"[one]", "[two]"});
    CHECK_FALSE(command.write("three\n"));
    command.close_stdin();
  });
}

TEST_CASE("much input waits until the command reads, without a thread that waits for the command") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    const Bytes much(5'000'000, 'x');
    Command command = slave.start({"wc", "-c"}, {.in = Source::writes()});
    CHECK(command.write(much));
    command.close_stdin();
    const ExecuteResult result = command.wait();
    CHECK(std::stoi(result.out) == 5'000'000);
  });
}

TEST_CASE("a write that the command does not read ends with its deadline, its stop, or the command") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    const Bytes much(5'000'000, 'x');
    Command command = slave.start({"sleep", "100000"}, {.in = Source::writes()});
    CHECK_THROWS_AS(command.write(much, {.deadline = 50ms}), Timeout);
    std::stop_source stop;
    stop.request_stop();
    CHECK_THROWS_AS(command.write(much, {.stop = stop.get_token()}), Cancelled);
    // They end with the command; what it has not read is dropped.
    std::thread writer([&] { command.write(much); });
    std::thread second([&] { command.write(much); });
    CHECK(command.interrupt());
    CHECK(command.wait().interrupted);
    writer.join();
    second.join();
  });
}

TEST_CASE("only a command that was started to be written to can be") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    Command command = slave.start({"true"});
    CHECK_THROWS_AS(command.write("x"), Error);
    CHECK_THROWS_AS(command.close_stdin(), Error);
    CHECK(command.wait().ok());
    CHECK_THROWS_AS(slave.execute({"cat"}, {.in = Source::writes()}), Error);
    CHECK_THROWS_AS(slave.send(Source::writes(), "file"), Error);
  });
}

TEST_CASE("all who wait for a command get its result") {
  on_every_transport([](Farm&, Slave& slave) {
    Command command = slave.start({"sh", "-c", "echo out; exit 3"});
    std::array<std::thread, 4> threads;
    std::atomic<int> right = 0;
    for (auto& thread : threads) {
      thread = std::thread([&right, handle = command]() mutable {
        const ExecuteResult result = handle.wait();
        if (result.exit_code == 3 && result.out == "out\n") ++right;
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(right == 4);
    CHECK(command.wait().out == "out\n");
  });
}

TEST_CASE("when the thread that drives a command leaves, another one goes on") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    Command command = slave.start(brackets, {.in = Source::writes()});
    CHECK_FALSE(command.wait_until(1ms));
    std::optional<ExecuteResult> result;
    std::thread waiter([&] { result = command.wait(); });
    for (int i = 0; i < 20; ++i) CHECK_FALSE(command.wait_until(1ms));
    CHECK(command.write("line\n"));
    command.close_stdin();
    waiter.join();
    REQUIRE(result);
    CHECK(result->out == "[line]\n");
  });
}

TEST_CASE("what a callback throws comes out of every wait, and the command is ended") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    const Lifeline lifeline;
    Command command =
        slave.start({"sh", "-c", "exec 9>\"$0\"; echo >&9; echo line; exec sleep 100000", lifeline.path()},
                    {.out = [](BytesView) { throw std::runtime_error("no more"); }});
    CHECK_THROWS_WITH_AS(command.wait(), "no more", std::runtime_error);
    CHECK_THROWS_WITH_AS(command.wait(), "no more", std::runtime_error);
    CHECK(command.state() == CommandState::over);
    CHECK(lifeline.wait_for_end());
  });
}

TEST_CASE("each command has its own output, whichever of them a thread waits for") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    Bytes odd;
    Bytes even;
    const auto into = [](Bytes& all) { return [&all](BytesView bytes) { all += bytes; }; };
    Command first = slave.start({"sh", "-c", "for i in 1 3 5 7 9; do echo $i; done"}, {.out = into(odd)});
    Command second = slave.start({"sh", "-c", "for i in 0 2 4 6 8; do echo $i; done"}, {.out = into(even)});
    CHECK(second.wait().ok());
    CHECK(first.wait().ok());
    CHECK(odd == "1\n3\n5\n7\n9\n");
    CHECK(even == "0\n2\n4\n6\n8\n");
  });
}

TEST_CASE("a callback cannot wait for the end of its own command") {
  on_every_transport([](Farm&, Slave& slave) {
    std::optional<Command> command;
    command = slave.start({"echo", "line"}, {.out = [&](BytesView) { command->wait(); }});
    const auto refused = thrown_by<Error>([&] { command->wait(); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
  });
}

TEST_CASE("a command that cannot be started says so to those who wait") {
  on_every_transport(BeyondRemsh1::reasons, [](Farm&, Slave& slave) {
    CHECK_THROWS_AS(static_cast<void>(slave.start({})), Error);
    Command command = slave.start({"no-such-program"});
    const auto failed = thrown_by<RemoteError>([&] { command.wait(); });
    REQUIRE(failed);
    CHECK(failed->os() == std::errc::no_such_file_or_directory);
    CHECK_FALSE(command.interrupt());
  });
}

TEST_CASE("without a handle a command is cancelled") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    const Lifeline lifeline;
    {
      const Command command = slave.start(lifeline.endless_command());
      const Command copy = command;
      REQUIRE(lifeline.wait_for_begin());
    }
    CHECK(lifeline.wait_for_end());
  });
}

TEST_CASE("commands need no thread of their own: a queue drives them") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    CompletionQueue queue;
    std::vector<int> codes;
    for (int code = 0; code < 10; ++code) {
      slave.start({"sh", "-c", "exit " + std::to_string(code)}).then(queue, [&](Command command) {
        codes.push_back(*command.wait().exit_code);
      });
    }
    Command endless = slave.start({"sleep", "100000"});
    endless.then(queue, [&](const Command& command) { CHECK(command.state() == CommandState::over); });
    CHECK_FALSE(endless.wait_until(1ms));  // another thread drives it for a while, and leaves
    std::thread interrupter([&] { CHECK(endless.interrupt()); });
    queue.run();
    interrupter.join();
    std::sort(codes.begin(), codes.end());
    CHECK(codes == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(endless.wait().interrupted);
  });
}

TEST_CASE("a command whose connection is lost is over, for all its users") {
  Farm farm(all_transports.front());
  const auto slave = farm.start("w1");
  Command command = slave->start({"sleep", "100000"}, {.in = Source::writes()});
  std::thread writer([&] {
    try {
      CHECK_FALSE(command.write(Bytes(5'000'000, 'x')));
    } catch (const ConnectionLost&) {
    }
  });
  slave->disconnect("enough");
  CHECK_THROWS_AS(command.wait(), ConnectionLost);
  writer.join();
  CHECK(command.state() == CommandState::over);
  CHECK_FALSE(command.interrupt());
  CHECK_FALSE(command.write("x"));
}

}  // namespace remsh::test
