// execute: what a caller sees of a command, and what is left of it.
#include "slave/execute.hpp"

#include "base/clock.hpp"
#include "operations/operations.hpp"
#include "os/process_tree.hpp"
#include "os/unique_fd.hpp"
#include "os/user.hpp"
#include "support/fake_served_call.hpp"
#include "support/lives.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using operations::Execute;
using operations::OutputMode;
using remsh::test::lives;
using remsh::test::skip;
using rpc::StreamName;
using test::FakeServedCall;

namespace {

/// A program whose output is thrown away.
Execute::Request quiet(std::vector<Bytes> args, const Bytes& cwd = {}) {
  Execute::Request command;
  command.args = std::move(args);
  command.cwd = cwd;
  return command;
}

/// A program whose output is wanted.
Execute::Request program_request(std::vector<Bytes> args) {
  Execute::Request command = quiet(std::move(args));
  command.out = OutputMode::stream;
  command.err = OutputMode::stream;
  return command;
}

Execute::Request shell(const Bytes& script) { return program_request({"/bin/sh", "-c", script}); }

/// The same, and what it leaves behind is left.
Execute::Request leaving_shell(const Bytes& script) {
  Execute::Request command = shell(script);
  command.leaves = true;
  return command;
}

/// A script on a terminal.
Execute::Request terminal_shell(const Bytes& script) {
  Execute::Request command = quiet({"/bin/sh", "-c", script});
  command.out = OutputMode::stream;
  command.pty = "80x24";
  return command;
}

/// The real clock, with leaps: what ends processes knows no other clock.
class LeapingClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const noexcept override { return real_clock().now() + Duration(leapt_.load()); }
  void advance(Duration by) noexcept { leapt_ += by.count(); }

 private:
  std::atomic<Duration::rep> leapt_{0};
};

/// A slave's commands on a loop of their own.
class CommandSlave {
 public:
  explicit CommandSlave(Duration grace = CommandSet::default_grace, const Clock& clock = real_clock(), LogHook log = {},
                        std::vector<std::string> users = {})
      : loop_(Loop::start(clock)),
        workplace_(*Workplace::open(dir.path())),
        commands(std::make_shared<CommandSet>(loop_, grace, std::move(log), CommandHooks(), std::move(users))) {
    add_execute(dispatcher_, workplace_, commands);
  }
  CommandSlave(const CommandSlave&) = delete;
  CommandSlave& operator=(const CommandSlave&) = delete;
  ~CommandSlave() {
    commands->stop();
    loop_->stop();
  }

  std::shared_ptr<FakeServedCall> start(const std::shared_ptr<FakeServedCall>& call) {
    dispatcher_.dispatch(call);
    return call;
  }
  std::shared_ptr<FakeServedCall> start(const Execute::Request& command) {
    return start(std::make_shared<FakeServedCall>("execute", to_box(command)));
  }

  /// Runs a command to its end.
  Execute::Reply run(const Execute::Request& command) { return reply_of(*start(command)); }
  Failure run_failing(const Execute::Request& command) {
    auto outcome = start(command)->outcome();
    REQUIRE(!outcome.ok());
    return outcome.failure();
  }

  /// Lets a command run out of its time, but not before it has written "ready".
  std::shared_ptr<FakeServedCall> time_out(Execute::Request command) {
    for (command.timeout = 50ms;; command.timeout *= 2) {
      auto call = start(command);
      static_cast<void>(call->outcome());
      if (call->sent(StreamName::out).starts_with("ready")) return call;
      REQUIRE(command.timeout < 60s);
    }
  }

  static Execute::Reply reply_of(FakeServedCall& call) {
    auto outcome = call.outcome();
    REQUIRE_MESSAGE(outcome.ok(), outcome.failure().message);
    auto reply = operations::from_box<Execute::Reply>(*outcome);
    REQUIRE(reply.ok());
    return *reply;
  }

  void move(LeapingClock& clock, Duration by) {
    clock.advance(by);
    loop_->clock_moved();
    sync();
  }

  /// Waits until the loop has gone through everything that it was told before.
  void sync() {
    std::promise<void> reached;
    loop_->post([&reached] { reached.set_value(); });
    reached.get_future().wait();
  }

  /// Calls a function while the loop stands still.
  void without_loop(const std::function<void()>& function) {
    std::promise<void> go_on;
    loop_->post([&go_on] { go_on.get_future().wait(); });
    function();
    go_on.set_value();
    sync();
  }

  test::TempDir dir;

 private:
  std::shared_ptr<Loop> loop_;
  std::shared_ptr<Workplace> workplace_;
  Dispatcher dispatcher_;

 public:
  const std::shared_ptr<CommandSet> commands;
};

std::size_t descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/dev/fd"), std::filesystem::directory_iterator()));
}

bool has_zombie() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

pid_t pid_in(const Bytes& line) { return static_cast<pid_t>(std::stol(line)); }

/// Waits for a line with a pid on `out`.
pid_t wait_for_pid(FakeServedCall& call) {
  for (std::size_t bytes = 1;; ++bytes) {
    const Bytes text = call.wait_sent(StreamName::out, bytes);
    if (text.find('\n') != Bytes::npos) return pid_in(text);
    bytes = text.size();
  }
}

}  // namespace

TEST_CASE("a command's exit code and its output come back") {
  CommandSlave slave;
  const auto call = slave.start(shell("echo to out; echo to err >&2; exit 3"));
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.exit_code == 3);
  CHECK(!reply.signal);
  CHECK(!reply.timed_out);
  CHECK(!reply.background);
  CHECK(call->sent(StreamName::out) == "to out\n");
  CHECK(call->sent(StreamName::err) == "to err\n");
}

TEST_CASE("a command ended by a signal tells which") {
  CommandSlave slave;
  const Execute::Reply reply = slave.run(shell("kill -USR1 $$"));
  CHECK(reply.signal == SIGUSR1);
  CHECK(!reply.exit_code);
  CHECK(!reply.timed_out);
}

TEST_CASE("output that nobody wants is thrown away, input that nobody gives is empty") {
  CommandSlave slave;
  const auto call = slave.start(quiet({"sh", "-c", "echo a; echo b >&2; cat; exit 4"}));
  CHECK(CommandSlave::reply_of(*call).exit_code == 4);
  CHECK(call->pieces() == 0);
}

TEST_CASE("merged output comes in the order it was written") {
  CommandSlave slave;
  Execute::Request command = shell("for i in 1 2 3; do echo out $i; echo err $i >&2; done");
  command.err = OutputMode::merge;
  const auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
  CHECK(call->sent(StreamName::err).empty());

  command.out = OutputMode::discard;
  const auto silent = slave.start(command);
  CHECK(CommandSlave::reply_of(*silent).exit_code == 0);
  CHECK(silent->pieces() == 0);
}

TEST_CASE("any byte goes through unchanged, in both directions") {
  CommandSlave slave;
  Bytes bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  Execute::Request command = program_request({"cat"});
  command.in = true;
  const auto call = slave.start(command);
  call->feed(bytes);
  call->feed(Bytes(1, '\0'));
  call->end_input();
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == bytes + Bytes(1, '\0'));
  CHECK(call->used() == 257);
}

TEST_CASE("a line comes as soon as it is written") {
  CommandSlave slave;
  Execute::Request command = shell("echo first; read line; echo second $line");
  command.in = true;
  const auto call = slave.start(command);
  CHECK(call->wait_sent(StreamName::out, 6) == "first\n");
  CHECK(!call->is_over());
  call->feed("go\n");
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "first\nsecond go\n");
}

TEST_CASE("both outputs full and input at the same time do not stand in each other's way") {
  CommandSlave slave;
  constexpr std::size_t size = 1024 * 1024;
  Execute::Request command = shell("head -c 1048576 /dev/zero & head -c 1048576 /dev/zero >&2 & cat; wait");
  command.in = true;
  const auto call = slave.start(command);
  const Bytes piece(16 * 1024, 'x');
  for (std::size_t fed = 0; fed < size; fed += piece.size()) call->feed(piece);
  call->end_input();
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  const Bytes out = call->sent(StreamName::out);
  CHECK(out.size() == 2 * size);
  CHECK(static_cast<std::size_t>(std::count(out.begin(), out.end(), 'x')) == size);
  CHECK(call->sent(StreamName::err) == Bytes(size, '\0'));
  CHECK(call->used() == size);
}

TEST_CASE("a caller that takes nothing stops its own command and no other, and gets all in the end") {
  CommandSlave slave;
  constexpr std::size_t size = 2 * 1024 * 1024;
  Execute::Request command = shell("head -c 2097152 /dev/zero; echo done > ready");
  const auto slow = std::make_shared<FakeServedCall>("execute", to_box(command));
  slow->set_room(StreamName::out, 1000);
  slave.start(slow);
  CHECK(slow->wait_sent(StreamName::out, 1000).size() == 1000);

  CHECK(slave.run(shell("exit 5")).exit_code == 5);
  CHECK(!slave.dir.has("ready"));  // it does not fit in a pipe
  CHECK(slow->sent(StreamName::out).size() == 1000);
  CHECK(!slow->is_over());

  for (std::size_t granted = 1000; granted < size; granted += 65536) slow->add_room(StreamName::out, 65536);
  CHECK(CommandSlave::reply_of(*slow).exit_code == 0);
  CHECK(slow->sent(StreamName::out) == Bytes(size, '\0'));
}

TEST_CASE("what lies in the pipe when the command has ended is sent, however slow the caller is") {
  CommandSlave slave(0s);
  Execute::Request command =
      leaving_shell("echo $$; head -c 50000 /dev/zero; cat gate & exit 0");  // who holds the pipe
  REQUIRE(::mkfifo((slave.dir / "gate").c_str(), 0600) == 0);
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(command));
  call->set_room(StreamName::out, 10);
  slave.start(call);
  const pid_t leader = wait_for_pid(*call);
  while (lives(leader)) std::this_thread::yield();
  // When a later command is over the loop has seen the end of this one, and soon that there is nothing to wait for.
  for (int i = 0; i < 3; ++i) CHECK(slave.run(shell("exit 0")).exit_code == 0);
  slave.sync();
  CHECK(!call->is_over());
  call->add_room(StreamName::out, 100000);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  const Bytes out = call->sent(StreamName::out);
  CHECK(std::count(out.begin(), out.end(), '\0') == 50000);
  CHECK(reply.exit_code == 0);
  CHECK(reply.background);
  slave.dir.write("gate", "");  // lets it go
}

TEST_CASE("output that exactly fills the room does not wait for more of it") {
  CommandSlave slave;
  Execute::Request command = shell("printf 12345");
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(command));
  call->set_room(StreamName::out, 5);
  call->set_room(StreamName::err, 0);
  slave.start(call);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "12345");
}

TEST_CASE("a command that reads no input takes it all, without a signal for the slave") {
  CommandSlave slave;
  Execute::Request command = shell("exec <&-; echo closed; read line < gate; echo end");
  command.in = true;
  REQUIRE(::mkfifo((slave.dir / "gate").c_str(), 0600) == 0);
  const auto call = slave.start(command);
  call->wait_sent(StreamName::out, 7);
  const Bytes piece(64 * 1024, 'x');
  for (int i = 0; i < 8; ++i) call->feed(piece);
  call->wait_used(8 * piece.size());
  CHECK(!call->is_over());
  slave.dir.write("gate", "go\n");
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "closed\nend\n");
}

TEST_CASE("input for a command that is not to have any is used up") {
  CommandSlave slave;
  Execute::Request command = shell("read line < gate");
  REQUIRE(::mkfifo((slave.dir / "gate").c_str(), 0600) == 0);
  const auto call = slave.start(command);
  call->feed("nobody reads this");
  call->wait_used(17);
  slave.dir.write("gate", "go\n");
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
}

TEST_CASE("a command that runs too long is ended and says so, with what it wrote") {
  CommandSlave slave;
  const auto call = slave.time_out(shell("echo ready; sleep 1000"));
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.timed_out);
  CHECK(reply.signal == SIGTERM);
  CHECK(!reply.background);
  CHECK(call->sent(StreamName::out) == "ready\n");
}

TEST_CASE("a command is silent when it has written nothing for its time, which begins again with each output") {
  LeapingClock clock;
  CommandSlave slave(CommandSet::default_grace, clock);
  Execute::Request command = program_request({"cat"});
  command.in = true;
  command.silence = 1h;
  const auto call = slave.start(command);
  slave.sync();
  for (std::size_t i = 1; i <= 3; ++i) {
    slave.move(clock, 50min);
    call->feed("x");
    CHECK(call->wait_sent(StreamName::out, i) == Bytes(i, 'x'));  // it lives
  }
  slave.move(clock, 61min);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.silent);
  CHECK(!reply.timed_out);
  CHECK(reply.signal);
}

TEST_CASE("a command whose output waits for its caller is not silent") {
  LeapingClock clock;
  CommandSlave slave(CommandSet::default_grace, clock);
  Execute::Request command = shell("echo 0123456789; exec cat");
  command.in = true;
  command.silence = 1h;
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(command));
  call->set_room(StreamName::out, 5);
  slave.start(call);
  CHECK(call->wait_sent(StreamName::out, 5) == "01234");
  slave.sync();
  for (int i = 0; i < 3; ++i) slave.move(clock, 2h);
  call->add_room(StreamName::out, 100);
  call->feed("lives");
  CHECK(call->wait_sent(StreamName::out, 16) == "0123456789\nlives");
  slave.move(clock, 61min);
  CHECK(CommandSlave::reply_of(*call).silent);
}

TEST_CASE("a command that cleans up at SIGTERM tells how it ended, and its last words come") {
  CommandSlave slave;
  Execute::Request command = shell("trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 1000 & wait; done");
  command.kill_after = 1h;
  const auto call = slave.time_out(command);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.timed_out);
  CHECK(reply.exit_code == 9);
  CHECK(call->sent(StreamName::out) == "ready\nbye\n");
}

TEST_CASE("a command that ignores SIGTERM is killed") {
  CommandSlave slave;
  Execute::Request command = shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
  command.kill_after = 20ms;
  const auto call = slave.time_out(command);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.timed_out);
  CHECK(reply.signal == SIGKILL);
}

TEST_CASE("a cancelled command is over only when nothing of it lives, wherever it went") {
  CommandSlave slave;
  for (const bool ignores : {false, true}) {
    const Bytes trap = ignores ? "trap '' TERM; " : "";
    Execute::Request command = shell(
        trap +
        "setsid sh -c 'echo $$ > session; exec sleep 1000' & "
        "(setsid sh -c '(echo $(exec sh -c \"echo \\$PPID\") > orphan; while :; do sleep 1000; done) & exit' &) ; "
        "while ! [ -s session ] || ! [ -s orphan ]; do :; done; echo $$; wait; sleep 1000");
    command.kill_after = ignores ? 20ms : 1h;
    const auto call = slave.start(command);
    const pid_t leader = wait_for_pid(*call);
    const pid_t session = pid_in(slave.dir.read("session"));
    const pid_t orphan = pid_in(slave.dir.read("orphan"));
    CHECK(lives(session));
    CHECK(lives(orphan));
    call->cancel();
    auto outcome = call->outcome();
    REQUIRE(!outcome.ok());
    CHECK(outcome.failure().code == Errc::cancelled);
    for (const pid_t pid : {leader, session, orphan}) CHECK(!lives(pid));
    std::filesystem::remove(slave.dir / "session");
    std::filesystem::remove(slave.dir / "orphan");
  }
}

TEST_CASE("a cancelled command whose caller takes nothing and that writes for ever is ended") {
  CommandSlave slave;
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(shell("yes")));
  call->set_room(StreamName::out, 10);
  slave.start(call);
  call->wait_sent(StreamName::out, 10);
  call->cancel();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

TEST_CASE("a call that was cancelled before it is served starts nothing") {
  CommandSlave slave;
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(shell("echo > effect")));
  call->cancel();
  slave.start(call);
  CHECK(call->outcome().failure().code == Errc::cancelled);
  // Not even by a start that fails.
  const auto missing = std::make_shared<FakeServedCall>("execute", to_box(program_request({"/no/such/program"})));
  missing->cancel();
  slave.start(missing);
  CHECK(missing->outcome().failure().code == Errc::cancelled);
  slave.commands->stop();
  CHECK(!slave.dir.has("effect"));
}

TEST_CASE("a command is ended with all that it started when the slave has no free descriptor") {
  CommandSlave slave;
  Execute::Request command =
      shell("setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & while :; do sleep 1000; done");
  command.kill_after = 10ms;
  const auto call = slave.start(command);
  const pid_t pid = wait_for_pid(*call);
  rlimit usual{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
  const rlimit few{std::min<rlim_t>(usual.rlim_max, 512), usual.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  std::vector<UniqueFd> all;
  for (;;) {
    UniqueFd one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!one) break;
    all.push_back(std::move(one));
  }
  const bool none_free = errno == EMFILE;
  call->cancel();
  const auto outcome = call->outcome();
  all.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
  CHECK(none_free);
  CHECK(outcome.failure().code == Errc::cancelled);
  CHECK(!lives(pid));
}

TEST_CASE("in a program that ignores SIGCHLD a command has its status, or an error that names the cause") {
  CommandSlave slave;
  struct sigaction before {};
  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  REQUIRE(::sigaction(SIGCHLD, &ignored, &before) == 0);
  const auto call = slave.start(shell("echo out; exit 3"));
  const auto outcome = call->outcome();
  ::sigaction(SIGCHLD, &before, nullptr);
  CHECK(call->sent(StreamName::out) == "out\n");
  if (outcome.ok()) {
    CHECK(operations::from_box<Execute::Reply>(*outcome)->exit_code == 3);
  } else {
    CHECK(outcome.failure().message.find("ignores SIGCHLD") != std::string::npos);
  }
}

TEST_CASE("a kill that is under way is brought forward when the connection is lost") {
  CommandSlave slave;
  Execute::Request command = shell("trap '' TERM; echo $$; while :; do sleep 1000; done");
  command.kill_after = 1h;
  const auto call = slave.start(command);
  const pid_t pid = wait_for_pid(*call);
  call->cancel();
  slave.sync();
  CHECK(lives(pid));
  call->lose();
  CHECK(call->outcome().failure().code == Errc::cancelled);
  CHECK(!lives(pid));
}

TEST_CASE("a kill that is under way is brought forward when the set is stopped") {
  CommandSlave slave;
  Execute::Request command = shell("trap '' TERM; echo $$; while :; do sleep 1000; done");
  command.kill_after = 1h;
  const auto call = slave.start(command);
  const pid_t pid = wait_for_pid(*call);
  call->cancel();
  slave.sync();
  slave.without_loop([&slave] {
    slave.commands->begin_stop();
    CHECK(slave.commands->size() == 1);
  });
  slave.commands->stop();
  CHECK(slave.commands->size() == 0);
  CHECK(!lives(pid));
}

TEST_CASE("a command that was timed out can be cancelled while its caller takes nothing") {
  CommandSlave slave;
  Execute::Request command = shell("echo $$; exec yes");
  std::shared_ptr<FakeServedCall> call;
  for (command.timeout = 50ms;; command.timeout *= 2) {  // it must write more than there is room for in its time
    call = std::make_shared<FakeServedCall>("execute", to_box(command));
    call->set_room(StreamName::out, 100);
    slave.start(call);
    while (call->sent(StreamName::out).size() < 100 && !call->is_over()) std::this_thread::yield();
    if (!call->is_over()) break;
    REQUIRE(command.timeout < 60s);
  }
  const pid_t pid = wait_for_pid(*call);
  while (lives(pid)) std::this_thread::yield();
  CHECK(!call->is_over());  // what it wrote is still to be sent
  call->cancel();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

TEST_CASE("background processes that hold the output are told, and go on") {
  CommandSlave slave(50ms);
  const auto call = slave.start(leaving_shell("sleep 1000 & echo $!"));
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.exit_code == 0);
  CHECK(reply.background);
  CHECK_FALSE(reply.ended_background);
  const pid_t pid = pid_in(call->sent(StreamName::out));
  CHECK(lives(pid));
  ::kill(pid, SIGKILL);
}

TEST_CASE("background processes are noticed also if they do not hold the output, and go on until the set is stopped") {
  std::vector<pid_t> pids;
  {
    CommandSlave slave;
    for (const char* script : {"sleep 1000 >/dev/null 2>&1 & echo $!",
                               "setsid sh -c 'echo $$; echo > said; exec sleep 1000 >/dev/null 2>&1' & "
                               "while ! [ -e said ]; do :; done; sleep 0.3"}) {
      const auto call = slave.start(leaving_shell(script));
      const Execute::Reply reply = CommandSlave::reply_of(*call);
      CHECK(reply.background);
      pids.push_back(pid_in(call->sent(StreamName::out)));
      CHECK(lives(pids.back()));
    }
  }
  for (const pid_t pid : pids) CHECK(!lives(pid));
}

TEST_CASE("a command that leaves nothing is told as that, however long it takes") {
  CommandSlave slave;
  for (const char* script : {"exit 0", "sleep 0.3", "(sleep 0.01 &) ; sleep 0.3", "sleep 0.01 & wait"}) {
    CAPTURE(script);
    CHECK(!slave.run(leaving_shell(script)).background);
    CHECK(!slave.run(shell(script)).ended_background);
  }
}

TEST_CASE("background processes are ended before the answer, also if they ignore SIGTERM and hold the output") {
  CommandSlave slave(50ms);
  for (const char* script : {"sleep 1000 & echo $!", "sleep 1000 >/dev/null 2>&1 & echo $!",
                             "(trap '' TERM; exec sleep 1000) & echo $!; sleep 0.05",
                             "sh -c 'echo $$; echo > written; while :; do echo x; done' & "
                             "while ! [ -e written ]; do :; done",
                             "setsid sh -c 'echo $$; echo > said; exec sleep 1000 >/dev/null 2>&1' & "
                             "while ! [ -e said ]; do :; done"}) {
    CAPTURE(script);
    Execute::Request command = shell(script);
    command.kill_after = 100ms;
    const auto call = slave.start(command);
    const Execute::Reply reply = CommandSlave::reply_of(*call);
    CHECK(reply.exit_code == 0);
    CHECK(reply.ended_background);
    CHECK_FALSE(reply.background);
    CHECK_FALSE(lives(pid_in(call->sent(StreamName::out))));
  }
}

TEST_CASE("a command is cancelled while what it left behind is being ended") {
  CommandSlave slave(50ms);
  Execute::Request command =
      shell("sh -c 'trap \"\" TERM; echo $$; echo > said; exec sleep 1000' & while ! [ -e said ]; do :; done");
  command.kill_after = 1h;
  const auto call = slave.start(command);
  const pid_t pid = wait_for_pid(*call);
  call->lose();
  CHECK(call->outcome().failure().code == Errc::cancelled);
  CHECK_FALSE(lives(pid));
}

TEST_CASE("background processes that end soon are waited for") {
  CommandSlave slave(1h);
  REQUIRE(::mkfifo((slave.dir / "gate").c_str(), 0600) == 0);
  const auto call = slave.start(shell("(read line < gate; echo late) & echo $$"));
  const pid_t leader = wait_for_pid(*call);
  while (lives(leader)) std::this_thread::yield();
  CHECK(!call->is_over());
  slave.dir.write("gate", "go\n");
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(!reply.background);
  CHECK(call->sent(StreamName::out) == std::to_string(leader) + "\nlate\n");
}

TEST_CASE("a command cancelled while its background processes hold the output ends them, too") {
  CommandSlave slave(1h);
  const auto call = slave.start(shell("sleep 1000 & echo $!"));
  const pid_t pid = wait_for_pid(*call);
  call->cancel();
  CHECK(call->outcome().failure().code == Errc::cancelled);
  CHECK(!lives(pid));
}

TEST_CASE("a thousand quick commands leave no descriptor, no zombie and nothing in the set") {
  CommandSlave slave;
  CHECK(slave.run(shell("exit 0")).exit_code == 0);
  slave.sync();
  const std::size_t before = descriptors();
  for (int round = 0; round < 50; ++round) {
    std::vector<std::shared_ptr<FakeServedCall>> calls;
    for (int i = 0; i < 20; ++i) {
      calls.push_back(slave.start(program_request({"echo", "x"})));
    }
    for (const auto& call : calls) {
      CHECK(CommandSlave::reply_of(*call).exit_code == 0);
      CHECK(call->sent(StreamName::out) == "x\n");
    }
  }
  slave.sync();
  CHECK(descriptors() == before);
  CHECK(!has_zombie());
  CHECK(slave.commands->size() == 0);
}

TEST_CASE("a program or directory that is missing is an error that names it") {
  CommandSlave slave;
  slave.dir.write("file", "");
  Failure failure = slave.run_failing(quiet({"no-such-program"}));
  CHECK(failure.code == Errc::os_error);
  CHECK(failure.os == ENOENT);
  CHECK(failure.message.find("program 'no-such-program'") != std::string::npos);

  failure = slave.run_failing(quiet({"true"}, "no/such\n"));
  CHECK(failure.os == ENOENT);
  CHECK(failure.message.find("cwd 'no/such\\x0") != std::string::npos);

  failure = slave.run_failing(quiet({"true"}, "file"));
  CHECK(failure.os == ENOTDIR);
  slave.sync();
  CHECK(slave.commands->size() == 0);
}

TEST_CASE("a command that cannot be started leaves nothing open") {
  CommandSlave slave;
  Execute::Request missing = program_request({"no-such-program"});
  missing.in = true;
  slave.run_failing(missing);
  const std::size_t before = descriptors();
  for (int i = 0; i < 10; ++i) slave.run_failing(missing);
  CHECK(descriptors() == before);
  CHECK(!has_zombie());
}

TEST_CASE("arguments that are too long for the system are its error") {
  CommandSlave slave;
  CHECK(slave.run_failing(quiet({"true", Bytes(4 * 1024 * 1024, 'x')})).os == E2BIG);
}

TEST_CASE("malformed arguments are refused") {
  CommandSlave slave;
  auto call = std::make_shared<FakeServedCall>("execute", Box{});
  CHECK(slave.start(call)->outcome().failure().code == Errc::invalid_argument);
}

TEST_CASE("a command starts in the session's directory, or in one relative to it") {
  CommandSlave slave;
  std::filesystem::create_directory(slave.dir / "sub");
  const Bytes base = std::filesystem::canonical(slave.dir.path()).string();
  Execute::Request command = shell("pwd -P");
  auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == base + "\n");
  command.cwd = "sub";
  call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == base + "/sub\n");
  command.cwd = "/";
  call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "/\n");
}

TEST_CASE("a command's environment is the slave's with the changes, or only these") {
  ::setenv("REMSH_TEST_KEPT", "kept", 1);
  ::setenv("REMSH_TEST_GONE", "gone", 1);
  CommandSlave slave;
  ::unsetenv("REMSH_TEST_KEPT");
  ::unsetenv("REMSH_TEST_GONE");
  Execute::Request command = shell("echo \"$REMSH_TEST_KEPT,${REMSH_TEST_GONE-unset},$NEW,$EMPTY.\"");
  command.set_env = {"NEW=a=b", "EMPTY=", "BOTH=x"};
  command.unset_env = {"REMSH_TEST_GONE", "NEVER_THERE"};
  auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "kept,unset,a=b,.\n");

  command.args = {"/usr/bin/env"};
  command.unset_env = {};
  command.set_env = {"B=2", "A=1", "A=3", "REMSH_COMMAND=mine"};
  command.clear_env = true;
  call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  const Bytes out = call->sent(StreamName::out);
  CHECK(out.starts_with("A=3\nB=2\nREMSH_COMMAND="));
  CHECK(out.find("mine") == Bytes::npos);
  CHECK(std::count(out.begin(), out.end(), '\n') == 3);
}

TEST_CASE("a text is put before the value of a variable, or is its value") {
  CommandSlave slave;
  Execute::Request command = shell("echo $A-$B-$C-$D");
  command.clear_env = true;
  command.set_env = {"A=1", "B="};
  command.prepend_env = {"A=x:y", "B=x", "C=x"};
  const auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "x:y:1-x-x-\n");
}

TEST_CASE("a program is looked up in the directories that were put before its PATH") {
  CommandSlave slave;
  slave.dir.write("own", "#!/bin/sh\necho found\n");
  REQUIRE(::chmod((slave.dir / "own").c_str(), 0700) == 0);
  Execute::Request command = program_request({"own"});
  command.prepend_env = {"PATH=" + slave.dir.path()};
  const auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  CHECK(call->sent(StreamName::out) == "found\n");
}

TEST_CASE("a command begins with the nice level, umask and limits of its request") {
  CommandSlave slave;
  Execute::Request command = shell("nice; umask; ulimit -n; ulimit -H -n");
  command.nice = 2;
  command.umask = 077;
  command.limits = {"nofile=50:60"};
  const auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  const int nice = std::min(::getpriority(PRIO_PROCESS, 0) + 2, 19);
  CHECK(call->sent(StreamName::out) == std::to_string(nice) + "\n0077\n50\n60\n");
}

TEST_CASE("a command whose settings are malformed or cannot be made is not run") {
  CommandSlave slave;
  const auto fails = [&slave](const std::function<void(Execute::Request&)>& change, Errc code, const Bytes& words) {
    Execute::Request command = shell("touch ran");
    change(command);
    const Failure failure = slave.run_failing(command);
    CAPTURE(failure.message);
    CHECK(failure.code == code);
    CHECK(failure.message.find(words) != std::string::npos);
    CHECK_FALSE(slave.dir.has("ran"));
  };
  fails([](auto& command) { command.stop_signal = "SIGCHLD"; }, Errc::invalid_argument, "'stop_signal'");
  fails([](auto& command) { command.umask = 01000; }, Errc::invalid_argument, "'umask'");
  for (const char* const bad : {"disk=1", "memory=0", "memory=1k", "cpu=9", "cpu=1000000001", "pids="}) {
    fails([&bad](auto& command) { command.group = {bad}; }, Errc::invalid_argument, "'group'");
  }
  fails([](auto& command) { command.group = {"pids=1", "pids=2"}; }, Errc::invalid_argument, "'group'");
  fails([](auto& command) { command.limits = {"files=1"}; }, Errc::invalid_argument, "'files'");
  fails([](auto& command) { command.limits = {"core=2:1"}; }, Errc::os_error, "the limit 'core'");
}

TEST_CASE("a command that writes a core file tells it, one that may not does not") {
  CommandSlave slave;
  Execute::Request command = shell("kill -ABRT $$");
  command.limits = {"core=0"};
  const Execute::Reply without = slave.run(command);
  CHECK(without.signal == SIGABRT);
  CHECK_FALSE(without.core);

  // Whether the system writes core files at all is seen at a child of ours.
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_CORE, &limit) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    limit.rlim_cur = limit.rlim_max;
    const bool is_there = ::chdir(slave.dir.path().c_str()) == 0 && ::setrlimit(RLIMIT_CORE, &limit) == 0;
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    ::sigaction(SIGABRT, &action, nullptr);
    if (is_there) ::raise(SIGABRT);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (!WIFSIGNALED(status) || !WCOREDUMP(status)) return skip("this system writes no core files");
  command.limits = {"core=" + (limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max))};
  const Execute::Reply with = slave.run(command);
  CHECK(with.signal == SIGABRT);
  CHECK(with.core);
}

TEST_CASE("a command gets the signal of its choice when it is ended, and SIGKILL after its time") {
  CommandSlave slave;
  Execute::Request command =
      shell("trap 'echo interrupted; exit 4' INT; trap '' TERM; echo ready; while :; do sleep 0.01; done");
  command.stop_signal = "SIGINT";
  command.kill_after = 1h;
  const auto call = slave.time_out(command);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.exit_code == 4);
  CHECK(reply.timed_out);
  CHECK(call->sent(StreamName::out) == "ready\ninterrupted\n");

  Execute::Request deaf = shell("trap '' INT; echo ready; while :; do sleep 0.01; done");
  deaf.stop_signal = "SIGINT";
  deaf.kill_after = 20ms;
  CHECK(CommandSlave::reply_of(*slave.time_out(deaf)).signal == SIGKILL);
}

TEST_CASE("of each output only so much is sent as is wanted, a line says so, and the command goes on") {
  CommandSlave slave;
  Execute::Request command = shell("for i in 1 2 3 4; do echo $i; done; echo abc >&2; echo defg >&2; exit 5");
  command.max_lines = 2;
  command.max_bytes = 6;
  const auto call = slave.start(command);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(reply.exit_code == 5);
  CHECK(call->sent(StreamName::out) == "1\n2\n[remsh: the rest of the output, beyond 2 lines, is dropped]\n");
  CHECK(call->sent(StreamName::err) == "abc\nde\n[remsh: the rest of the output, beyond 6 bytes, is dropped]\n");
  CHECK(reply.out_dropped == 4U);
  CHECK(reply.err_dropped == 3U);
}

TEST_CASE("output within its limit is whole, and the answer says nothing of it") {
  CommandSlave slave;
  Execute::Request command = shell("printf 'a\\nb\\n'");
  command.max_lines = 2;
  command.max_bytes = 4;
  const auto call = slave.start(command);
  const Execute::Reply reply = CommandSlave::reply_of(*call);
  CHECK(call->sent(StreamName::out) == "a\nb\n");
  CHECK_FALSE(reply.out_dropped);
}

TEST_CASE("endless output beyond the limit needs no room, and the line about it waits for some") {
  CommandSlave slave;
  Execute::Request command = shell("head -c 3000000 /dev/zero");
  command.max_bytes = 100;
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(command));
  call->set_room(StreamName::out, 110);
  slave.start(call);
  CHECK(call->wait_sent(StreamName::out, 110).size() == 110);
  CHECK(!call->is_over());
  call->add_room(StreamName::out, 1000);
  CHECK(CommandSlave::reply_of(*call).out_dropped == 3'000'000U - 100);
  CHECK(call->sent(StreamName::out) ==
        Bytes(100, '\0') + "\n[remsh: the rest of the output, beyond 100 bytes, is dropped]\n");
}

TEST_CASE("each piece of output has its time, if the caller wants it") {
  CommandSlave slave;
  const auto now = [] {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count());
  };
  Execute::Request command = shell("echo a; read line; echo b >&2");
  command.in = true;
  command.at = true;
  const auto before = now();
  const auto call = slave.start(command);
  call->wait_sent(StreamName::out, 2);
  const auto between = now();
  call->feed("go\n");
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
  const auto times = call->times();
  REQUIRE(times.size() == 2);
  REQUIRE((times[0] && times[1]));
  CHECK(before <= *times[0]);
  CHECK(*times[0] <= between);
  CHECK(between <= *times[1]);
  CHECK(*times[1] <= now());

  command.at = false;
  command.in = false;
  const auto without = slave.start(command);
  CHECK(CommandSlave::reply_of(*without).exit_code == 0);
  for (const auto& time : without->times()) CHECK_FALSE(time);
}

TEST_CASE("an error about a command shows none of its secrets") {
  CommandSlave slave;
  Execute::Request command = quiet({"no-hunter2-program"});
  command.secrets = {"hunter2"};
  CHECK(slave.run_failing(command).message.find("'no-***-program'") != std::string::npos);
  command = quiet({"true"}, "no/hunter2");
  command.secrets = {"hunter2"};
  const Failure failure = slave.run_failing(command);
  CHECK(failure.message.find("no/***") != std::string::npos);
  CHECK(failure.message.find("hunter2") == std::string::npos);
}

TEST_CASE("the header of a command says without secrets where it runs and why it is ended, if the caller wants it") {
  CommandSlave slave;
  std::filesystem::create_directory(slave.dir.path() + "/of hunter2");
  Execute::Request command = quiet({"/bin/sleep", "100000"}, "of hunter2");
  command.secrets = {"hunter2"};
  command.timeout = 20ms;
  const auto header_of = [&slave](const Execute::Request& request) {
    const auto call = slave.start(request);
    const Execute::Reply reply = CommandSlave::reply_of(*call);
    return std::pair(call->sent(StreamName::header), std::to_string(reply.pid.value_or(0)));
  };
  CHECK(header_of(command).first.empty());
  command.header = true;
  const auto [header, pid] = header_of(command);
  CHECK(header == "directory: " + Bytes(slave.dir.path()) + "/of ***\nprocess: " + pid +
                      "\nending: timed out after 0.02 s, SIGTERM\n");
}

TEST_CASE("the header of a command tells of an end by its silence, and of one of what it leaves behind") {
  CommandSlave slave;
  const auto header_of = [&slave](Execute::Request request) {
    request.header = true;
    const auto call = slave.start(request);
    static_cast<void>(CommandSlave::reply_of(*call));
    return call->sent(StreamName::header);
  };
  Execute::Request command = shell("sleep 100000");
  command.silence = 20ms;
  CHECK(header_of(command).ends_with("\nending: silent for 0.02 s, SIGTERM\n"));
  command = shell("trap '' TERM; sleep 100000 & exit 0");
  command.kill_after = 10ms;
  CHECK(header_of(command).ends_with("\nending: it has left processes behind, SIGTERM\n"));
  CHECK(header_of(shell("exit 3")).find("ending") == Bytes::npos);
}

TEST_CASE("a command has a terminal of its own as its session's, with its size") {
  CommandSlave slave;
  Execute::Request command =
      terminal_shell("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size && echo own >/dev/tty; read x");
  command.in = true;
  command.pty = "132x43";
  const auto call = slave.start(command);
  CHECK(call->wait_sent(StreamName::out, 12) == "43 132\r\nown\r\n");
  call->feed("go\n");
  CHECK(CommandSlave::reply_of(*call).exit_code == 0);
}

TEST_CASE("the end of the input ends that of a command with a terminal, also after an unfinished line") {
  CommandSlave slave;
  for (const Bytes last : {"", "unfinished"}) {
    Execute::Request command = terminal_shell("stty -echo; echo ready; exec cat");
    command.in = true;
    const auto call = slave.start(command);
    call->wait_sent(StreamName::out, 7);
    call->feed("line\n");
    call->wait_sent(StreamName::out, 13);
    if (!last.empty()) call->feed(last);
    call->end_input();
    CHECK(CommandSlave::reply_of(*call).exit_code == 0);
    CHECK(call->sent(StreamName::out).starts_with("ready\r\nline\r\n"));
  }
}

TEST_CASE("a command with a terminal and without input finds its end at once") {
  CommandSlave slave;
  CHECK(slave.run(terminal_shell("exec cat")).exit_code == 0);
}

TEST_CASE("a terminal whose command does not read gets no more than fits, and its command can be ended") {
  CommandSlave slave;
  Execute::Request command = terminal_shell("stty -echo; echo ready; exec sleep 100000");
  command.in = true;
  const auto call = slave.start(command);
  call->wait_sent(StreamName::out, 7);
  for (int i = 0; i < 16; ++i) call->feed(Bytes(8191, 'x') + "\n");
  slave.sync();
  CHECK(call->used() < 16 * 8192);
  call->cancel();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

TEST_CASE("a terminal has one output and a size") {
  CommandSlave slave;
  const auto is_malformed = [&slave](const std::function<void(Execute::Request&)>& change) {
    Execute::Request command = terminal_shell("true");
    change(command);
    CHECK(slave.run_failing(command).code == Errc::invalid_argument);
  };
  is_malformed([](auto& command) { command.pty = "80"; });
  is_malformed([](auto& command) { command.err = OutputMode::stream; });
  is_malformed([](auto& command) { command.err = OutputMode::merge; });
  is_malformed([](auto& command) { command.out = OutputMode::discard; });
}

TEST_CASE("a command runs as another user, with its groups and environment, and owns its streams") {
  if (::geteuid() != 0) return skip("only root can run commands as another user");
  const auto account = find_user("nobody");
  if (!account.ok() || !*account) return skip("there is no user nobody");
  CommandSlave slave(CommandSet::default_grace, real_clock(), {}, {"nobody"});
  REQUIRE(::chmod(slave.dir.path().c_str(), 0755) == 0);
  Execute::Request command =
      shell("id -u; id -g; id -G; echo $HOME $USER $LOGNAME; echo again >/dev/stdout; nice; touch x");
  command.user = "nobody";
  command.nice = 1;
  const auto call = slave.start(command);
  CHECK(CommandSlave::reply_of(*call).exit_code != 0);  // of touch
  CHECK_FALSE(slave.dir.has("x"));
  const UserAccount& user = **account;
  const int nice = std::min(::getpriority(PRIO_PROCESS, 0) + 1, 19);
  std::string ids;
  for (const gid_t group : user.groups) ids += (ids.empty() ? "" : " ") + std::to_string(group);
  CHECK(call->sent(StreamName::out) == std::to_string(user.uid) + "\n" + std::to_string(user.gid) + "\n" + ids + "\n" +
                                           user.home + " nobody nobody\nagain\n" + std::to_string(nice) + "\n");
}

TEST_CASE("a command of another user is ended like any other") {
  if (::geteuid() != 0) return skip("only root can run commands as another user");
  CommandSlave slave(CommandSet::default_grace, real_clock(), {}, {"nobody"});
  Execute::Request command = shell("trap '' TERM; echo ready; sleep 100000 & sleep 100000");
  command.cwd = "/";
  command.user = "nobody";
  command.kill_after = 20ms;
  const auto call = slave.start(command);
  call->wait_sent(StreamName::out, 6);
  call->cancel();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

TEST_CASE("a command of a user that the policy does not name, or that is missing, is not run") {
  CommandSlave slave(CommandSet::default_grace, real_clock(), {}, {"no-such-user"});
  Execute::Request command = quiet({"touch", "ran"});
  command.user = "nobody";
  CHECK(slave.run_failing(command).os == EPERM);
  command.user = "no-such-user";
  CHECK(slave.run_failing(command).os == (::geteuid() == 0 ? ENOENT : EPERM));
  CHECK_FALSE(slave.dir.has("ran"));
}

TEST_CASE("a directory that the other user may not enter is an error that says so") {
  if (::geteuid() != 0) return skip("only root can run commands as another user");
  CommandSlave slave(CommandSet::default_grace, real_clock(), {}, {"nobody"});
  REQUIRE(::chmod(slave.dir.path().c_str(), 0700) == 0);
  Execute::Request command = quiet({"true"});
  command.user = "nobody";
  const Failure failure = slave.run_failing(command);
  CHECK(failure.os == EACCES);
  CHECK(failure.message.find("directory") != std::string::npos);
}

TEST_CASE("commands started and cancelled by many threads at once all come to an end") {
  CommandSlave slave;
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&slave, &wrong, t] {
      for (int i = 0; i < 15; ++i) {
        Execute::Request command = shell("cat; echo x");
        command.in = true;
        const auto call = std::make_shared<FakeServedCall>("execute", to_box(command));
        const bool is_cancelled = (t + i) % 3 == 0;
        if (i % 2 == 0) call->set_room(StreamName::out, 1);
        slave.start(call);
        call->feed("some input");
        if (is_cancelled) {
          call->cancel();
        } else {
          call->end_input();
          call->add_room(StreamName::out, 100);
        }
        auto outcome = call->outcome();
        if (outcome.ok() == is_cancelled) ++wrong;
        if (outcome.ok() && call->sent(StreamName::out) != "some inputx\n") ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  slave.sync();
  CHECK(slave.commands->size() == 0);
  CHECK(!has_zombie());
}

TEST_CASE("when the set is stopped all commands are gone and new ones are refused") {
  CommandSlave slave;
  std::vector<std::shared_ptr<FakeServedCall>> calls;
  Execute::Request command = shell("echo $$; trap '' TERM; while :; do sleep 1000; done");
  command.kill_after = 20ms;
  for (int i = 0; i < 10; ++i) calls.push_back(slave.start(command));
  std::vector<pid_t> pids;
  for (std::size_t i = 0; i < 5; ++i) pids.push_back(wait_for_pid(*calls[i]));  // the others: whatever they are at
  slave.commands->stop();
  CHECK(slave.commands->size() == 0);
  for (const auto& call : calls) {
    REQUIRE(call->is_over());
    CHECK(call->outcome().failure().code == Errc::cancelled);
  }
  for (const pid_t pid : pids) CHECK(!lives(pid));
  CHECK(!has_zombie());
  CHECK(slave.start(shell("exit 0"))->outcome().failure().code == Errc::cancelled);
}

namespace {

/// A call for a command: hands it over, and returns what becomes of it.
template <class Asked>
Result<Box> ask_command(FakeServedCall& command, std::string name, const Asked& asked) {
  const auto request = std::make_shared<FakeServedCall>(std::move(name), operations::to_box(asked));
  command.hand(request);
  return request->outcome();
}

}  // namespace

TEST_CASE("an interrupt is logged with its reason, and ends a command once") {
  std::vector<std::string> logged;
  std::mutex mutex;
  CommandSlave slave(CommandSet::default_grace, real_clock(), [&](const LogRecord& record) {
    const std::lock_guard lock(mutex);
    logged.push_back(record.message);
  });
  Execute::Request request = shell("trap 'echo cleaned up; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
  request.secrets = {"slow"};
  const auto command = slave.start(request);
  command->wait_sent(StreamName::out, 6);
  const operations::Interrupt::Request asked{.target = "1f", .why = "too\nslow\x1b[0m"};
  for (int i = 0; i < 2; ++i) {
    const auto answer = ask_command(*command, "interrupt", asked);
    if (i == 0) REQUIRE(answer.ok());
    if (i == 0) CHECK(answer->get("running") == "1");
  }
  const auto reply = CommandSlave::reply_of(*command);
  CHECK(reply.interrupted);
  CHECK(reply.exit_code == 3);
  CHECK(command->sent(StreamName::out) == "ready\ncleaned up\n");
  const std::lock_guard lock(mutex);
  REQUIRE(logged.size() == 1);
  CHECK(logged[0].find("interrupting command '1f' ('/bin/sh'): too") == 0);
  CHECK(logged[0].find('\n') == std::string::npos);
  CHECK(logged[0].find('\x1b') == std::string::npos);
  CHECK(logged[0].find("slow") == std::string::npos);
}

TEST_CASE("a command that runs out of its time is not interrupted as well") {
  CommandSlave slave;
  Execute::Request request = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
  request.timeout = 1ms;
  request.kill_after = 60s;
  const auto command = slave.start(request);
  const auto answer = ask_command(*command, "interrupt", operations::Interrupt::Request{"1f", {}});
  REQUIRE(answer.ok());
  CHECK(ask_command(*command, "signal", operations::Signal::Request{.target = "1f", .number = SIGKILL}).ok());
  const auto reply = CommandSlave::reply_of(*command);
  CHECK(reply.timed_out != reply.interrupted);  // whichever was first
}

TEST_CASE("what is asked of a command, and is malformed, is refused and changes nothing") {
  CommandSlave slave;
  const auto command = slave.start(program_request({"sleep", "100000"}));
  const auto request = std::make_shared<FakeServedCall>("signal", Box{{"number", "0"}, {"target", "1f"}});
  command->hand(request);
  const auto refused = request->outcome();
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.failure().code == Errc::invalid_argument);
  CHECK_FALSE(command->is_over());
  command->cancel();
  CHECK_FALSE(command->outcome().ok());
}
