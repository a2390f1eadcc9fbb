// TreeKiller: nothing of a command outlives it, and nothing else is touched.
#include "os/process_tree.hpp"

#include "os/process.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <string>

using namespace remsh;
using namespace std::chrono_literals;

namespace {

/// A shell script that runs as a command does, and what it writes.
class Command {
 public:
  explicit Command(const Bytes& script, std::vector<Bytes> env = {}) : name_(new_command_name()) {
    env.push_back("PATH=/usr/bin:/bin");
    env.push_back(command_entry({}, name_));
    auto pipe = open_pipe_from_child();
    REQUIRE(pipe.ok());
    auto process = spawn({.args = {"sh", "-c", script}, .env = env, .out = pipe->theirs.get()});
    REQUIRE(process.ok());
    output_ = std::move(pipe->ours);
    process_ = std::make_unique<Process>(std::move(*process));
  }

  [[nodiscard]] ProcessTree tree() const { return {process_->pid(), name_}; }
  Process& process() { return *process_; }

  /// The next line it writes; empty at the end, when nobody holds its output any more.
  std::string line() {
    std::string text;
    for (;;) {
      char byte = 0;
      const ssize_t got = ::read(output_.get(), &byte, 1);
      if (got == 0 || (got == 1 && byte == '\n')) return text;
      if (got == 1) {
        text += byte;
      } else {
        pollfd watched{output_.get(), POLLIN, 0};
        ::poll(&watched, 1, -1);
      }
    }
  }
  pid_t pid_line() { return static_cast<pid_t>(std::stol(line())); }

  /// Whether the leader was ended, and how.
  ExitStatus status() {
    auto status = process_->reap();
    REQUIRE(status.ok());
    REQUIRE(status->has_value());
    return **status;
  }

 private:
  Bytes name_;
  UniqueFd output_;
  std::unique_ptr<Process> process_;
};

TimePoint now() { return std::chrono::steady_clock::now(); }

/// Ends a tree and waits until that is done.
bool end_and_wait(TreeKiller& killer, const ProcessTree& tree, Duration patience, Duration give_up = 60s) {
  auto done = std::make_shared<std::promise<bool>>();
  auto gone = done->get_future();
  killer.end(tree, now() + patience, now() + give_up, [done](bool all) { done->set_value(all); });
  return gone.get();
}

bool contains(const std::vector<ProcessId>& list, pid_t pid) {
  return std::any_of(list.begin(), list.end(), [pid](const ProcessId& process) { return process.pid == pid; });
}

bool lives(pid_t pid) {
  const ProcessTable table = ProcessTable::read();
  const ProcessTable::Entry* entry = table.find(pid);
  return entry != nullptr && entry->lives;
}

// Shapes in which a process tries to get away; each writes its pid when it has.
constexpr const char* in_session = "setsid sh -c 'echo $$; exec sleep 1000' & ";
constexpr const char* double_forked =
    "(setsid sh -c '(trap \"\" TERM; echo $(exec sh -c \"echo \\$PPID\"); while :; do sleep 1000; done) & exit' &) ; ";

}  // namespace

TEST_CASE("a tree has the leader, its group, other sessions and orphans, and nobody else") {
  Command command(std::string(in_session) + double_forked + "sleep 1000 & echo $!; wait");
  Command other("echo $$; sleep 1000");
  const pid_t one = command.pid_line();
  const pid_t two = command.pid_line();
  const pid_t three = command.pid_line();
  const pid_t stranger = other.pid_line();

  ProcessTable table = ProcessTable::read();
  const std::vector<ProcessId> living = table.living(command.tree());
  CHECK(contains(living, command.tree().leader));
  CHECK(contains(living, one));
  CHECK(contains(living, two));
  CHECK(contains(living, three));
  CHECK(!contains(living, stranger));
  CHECK(!contains(living, ::getpid()));

  TreeKiller killer;
  CHECK(end_and_wait(killer, command.tree(), 0s));
  for (const pid_t pid : {one, two, three}) CHECK(!lives(pid));
  CHECK(lives(stranger));
  CHECK(command.line().empty());  // the end: nobody holds the pipe
  command.status();
  CHECK(end_and_wait(killer, other.tree(), 0s));
}

TEST_CASE("a process that would have died of SIGTERM, had it heard it, is told again") {
  TreeKiller killer;
  // It swallows what comes first, as a child of a shell that has a trap does between fork and exec, and takes its time.
  Command command(
      "(trap '(trap \"\" TERM; sleep 0.1); trap - TERM' TERM; echo ready; while :; do sleep 1000 & wait; done) & "
      "wait; wait");
  CHECK(command.line() == "ready");
  CHECK(end_and_wait(killer, command.tree(), 1h));
  CHECK(command.line().empty());
  CHECK(command.status().signal == SIGTERM);
}

TEST_CASE("a tree that obeys SIGTERM is gone without SIGKILL, and could clean up") {
  TreeKiller killer;
  Command command("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done");
  CHECK(command.line() == "ready");
  CHECK(end_and_wait(killer, command.tree(), 1h));
  CHECK(command.line() == "bye");
  CHECK(command.status().code == 5);
}

TEST_CASE("a tree that ignores SIGTERM is killed when its time is over") {
  TreeKiller killer;
  Command command("trap '' TERM; echo ready; while :; do sleep 1000; done");
  CHECK(command.line() == "ready");
  CHECK(end_and_wait(killer, command.tree(), 30ms));
  CHECK(command.status().signal == SIGKILL);
  CHECK(command.line().empty());
}

TEST_CASE("a stopped tree is ended, too") {
  TreeKiller killer;
  Command command("echo ready; kill -STOP $$; sleep 1000");
  CHECK(command.line() == "ready");
  CHECK(end_and_wait(killer, command.tree(), 1h));
  CHECK(command.status().signal == SIGTERM);
}

TEST_CASE("what outlives the leader is ended with SIGTERM or SIGKILL") {
  TreeKiller killer;
  for (const Duration patience : {Duration(1h), Duration(0)}) {
    Command command(in_session);
    const pid_t escaped = command.pid_line();
    pollfd watched{command.process().exit_descriptor(), POLLIN, 0};
    REQUIRE(::poll(&watched, 1, -1) == 1);
    CHECK(lives(escaped));
    CHECK(end_and_wait(killer, command.tree(), patience));
    CHECK(!lives(escaped));
    CHECK(command.line().empty());
  }
}

TEST_CASE("a child that forgot its name is remembered when its parents die first") {
  TreeKiller killer;
  Command command("env -i setsid /bin/sh -c 'trap \"\" TERM; echo $$; while :; do /bin/sleep 1000; done' & wait");
  const pid_t escaped = command.pid_line();
  CHECK(end_and_wait(killer, command.tree(), 50ms));
  CHECK(!lives(escaped));
}

TEST_CASE("a tree that grows while it is ended is gone in the end") {
  TreeKiller killer;
  Command command("trap '' TERM; f() { while :; do (sleep 0.01; sleep 1000) & sleep 0.01; done; }; f & echo; f");
  command.line();
  CHECK(end_and_wait(killer, command.tree(), 20ms));
  CHECK(command.line().empty());
}

TEST_CASE("many trees are ended side by side") {
  TreeKiller killer;
  std::vector<std::unique_ptr<Command>> commands;
  std::vector<std::future<bool>> gone;
  for (int i = 0; i < 20; ++i) commands.push_back(std::make_unique<Command>(std::string(in_session) + "wait"));
  for (const auto& command : commands) {
    command->line();
    auto done = std::make_shared<std::promise<bool>>();
    gone.push_back(done->get_future());
    killer.end(command->tree(), now() + 1h, now() + 1h, [done](bool all) { done->set_value(all); });
  }
  for (auto& each : gone) CHECK(each.get());
  for (const auto& command : commands) CHECK(command->line().empty());
}

TEST_CASE("a killer that has nothing to do starts again") {
  TreeKiller killer;
  for (int i = 0; i < 3; ++i) {
    Command command("sleep 1000");
    CHECK(end_and_wait(killer, command.tree(), 1h));
  }
}

TEST_CASE("a tree that does not go in time is given up") {
  TreeKiller killer;
  Command command("trap '' TERM; echo ready; while :; do sleep 1000; done");
  CHECK(command.line() == "ready");
  CHECK(!end_and_wait(killer, command.tree(), 1h, 10ms));
}

TEST_CASE("a killer that is dropped says that it gave up") {
  Command command("trap '' TERM; echo ready; while :; do sleep 1000; done");
  CHECK(command.line() == "ready");
  bool told = false;
  bool all = true;
  {
    TreeKiller killer;
    killer.end(command.tree(), now() + 1h, now() + 1h, [&](bool gone) {
      told = true;
      all = gone;
    });
  }
  CHECK(told);
  CHECK(!all);
}

TEST_CASE("a process is signalled only if it is the one that was meant") {
  Command command("sleep 1000");
  ProcessTable table = ProcessTable::read();
  const ProcessTable::Entry* entry = table.find(command.tree().leader);
  REQUIRE(entry != nullptr);
  CHECK(signal_process(entry->id, 0));
  ProcessId another = entry->id;
  ++another.started;
  CHECK(!signal_process(another, SIGKILL));
  CHECK(!command.process().has_ended());
}

TEST_CASE("a command within a command carries both names") {
  CHECK(command_entry({"A=1"}, "x") == "REMSH_COMMAND=x");
  CHECK(command_entry({"REMSH_COMMAND=", "B=1"}, "x") == "REMSH_COMMAND=x");
  CHECK(command_entry({"A=1", "REMSH_COMMAND=outer"}, "x") == "REMSH_COMMAND=outer:x");
  CHECK(new_command_name() != new_command_name());

  TreeKiller killer;
  Command outer("echo; sleep 1000");
  outer.line();
  const Bytes both = command_entry({command_entry({}, outer.tree().name)}, "inner");
  Command inner("(env -i " + both + " setsid /bin/sh -c 'echo $$; exec /bin/sleep 1000' &)");
  const pid_t escaped = inner.pid_line();
  CHECK(end_and_wait(killer, outer.tree(), 0s));
  CHECK(!lives(escaped));
}

#if defined(__linux__)
namespace {

/// Orphans come to this process while it lives.
struct Subreaper {
  Subreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
  Subreaper(const Subreaper&) = delete;
  Subreaper& operator=(const Subreaper&) = delete;
  ~Subreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }
};

bool is_zombie_of_ours(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

TEST_CASE("orphans that come to us are reaped when their tree is ended") {
  const Subreaper subreaper;
  CHECK(OrphanReaper::is_needed());
  TreeKiller killer;
  Command command(std::string(double_forked) + "wait");
  const pid_t orphan = command.pid_line();
  CHECK(end_and_wait(killer, command.tree(), 0s));
  CHECK(!is_zombie_of_ours(orphan));
}

TEST_CASE("orphans that end by themselves are reaped at the second look, children with an owner never") {
  const Subreaper subreaper;
  Command command("(setsid sh -c 'echo $$; exec cat /dev/null' &)");
  const pid_t orphan = command.pid_line();
  CHECK(command.line().empty());
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(orphan), &info, WEXITED | WNOWAIT) == 0);
  Command owned("exit 3");
  REQUIRE(::waitid(P_PID, static_cast<id_t>(owned.tree().leader), &info, WEXITED | WNOWAIT) == 0);
  const pid_t unrelated = ::fork();
  if (unrelated == 0) ::_exit(4);
  REQUIRE(::waitid(P_PID, static_cast<id_t>(unrelated), &info, WEXITED | WNOWAIT) == 0);

  OrphanReaper reaper;
  const auto is_known = [&](pid_t pid) { return pid == owned.tree().leader || pid == command.tree().leader; };
  CHECK(reaper.look(is_known) == 0);
  CHECK(is_zombie_of_ours(orphan));
  CHECK(reaper.look(is_known) >= 1);  // of the tests before something may be left, too
  CHECK(!is_zombie_of_ours(orphan));
  CHECK(owned.status().code == 3);
  int status = 0;
  CHECK(::waitpid(unrelated, &status, 0) == unrelated);
}
#endif
