// TreeKiller: nothing of a command outlives it, and nothing else is touched.
#include "os/process_tree.hpp"

#include "os/orphans.hpp"
#include "os/process.hpp"

#include "support/child_process.hpp"
#include "support/lives.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::lives;

namespace {

/// A shell script that runs as a command does, and what it writes.
class Command {
 public:
  explicit Command(const Bytes& script, std::vector<Bytes> env = {}, Bytes name = new_command_name())
      : name_(std::move(name)) {
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

  const ProcessReader reader;
  const ProcessTable table = ProcessTable::read(reader);
  REQUIRE(table.is_complete());
  CommandNames names;
  const std::set<pid_t> members = table.members(
      {.leader = command.tree().leader, .name = command.tree().name, .began = 0, .seen = {}}, reader, names);
  for (const pid_t pid : {command.tree().leader, one, two, three}) CHECK(members.contains(pid));
  CHECK(!members.contains(stranger));
  CHECK(!members.contains(::getpid()));

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

TEST_CASE("a kill that takes long looks ever more seldom, and reads each environment once") {
  TreeKiller killer;
  Command command("trap '' TERM; echo ready; while :; do sleep 1000; done");
  CHECK(command.line() == "ready");
  CHECK(end_and_wait(killer, command.tree(), 2s));
  CHECK(killer.effort().looks < 25);  // one every 50 ms would be 40
  // Nothing but what was started later than the command, and not again at every look.
  CHECK(killer.effort().environments < 10 * ProcessTable::read().entries().size());
}

TEST_CASE("an environment is read once, and never that of a process which is older than the command") {
  const ProcessReader reader;
  const auto self = reader.find(::getpid());
  REQUIRE((self.ok() && self->has_value()));
  const ProcessId own = (*self)->id;
  Command command("echo ready; sleep 1000");
  CHECK(command.line() == "ready");
  const auto leader = reader.find(command.tree().leader);
  REQUIRE((leader.ok() && leader->has_value()));

  CommandNames names;
  for (int i = 0; i < 3; ++i) CHECK(names.has(reader, (*leader)->id, command.tree().name));
  CHECK(names.reads() == 1);
  // A process without a name is read again only while it may be in the middle of an exec.
  while (ticks_now() <= own.started + 30) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) CHECK(!names.has(reader, own, command.tree().name));
  CHECK(names.reads() == 2);

  CommandNames none;
  const ProcessTable table = ProcessTable::read(reader);
  const std::uint64_t later = ticks_now() + 1000;
  const KnownTree younger{.leader = -1, .name = command.tree().name, .began = later, .seen = {}};
  CHECK(table.members(younger, reader, none).empty());
  CHECK(none.reads() == 0);
}

TEST_CASE("the time of a kill that is under way can be brought forward") {
  TreeKiller killer;
  Command command("trap '' TERM; echo ready; while :; do sleep 1000; done");
  CHECK(command.line() == "ready");
  std::promise<bool> done;
  killer.end(command.tree(), now() + 1h, now() + 2h, [&done](bool gone) { done.set_value(gone); });
  killer.hurry(command.tree().name, now(), now() + 60s);
  CHECK(done.get_future().get());
  CHECK(command.status().signal == SIGKILL);
}

TEST_CASE("what could not be read is not taken for gone") {
  const ProcessReader reader;
  Command command("echo ready; read forever");
  CHECK(command.line() == "ready");
  std::vector<UniqueFd> all;
  for (;;) {
    UniqueFd one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!one) break;
    all.push_back(std::move(one));
  }
  const bool none_free = errno == EMFILE;
  const ProcessTable table = ProcessTable::read(reader);
  const bool found = reader.find(::getpid()).ok();
  all.clear();
  CHECK(none_free);
  CHECK(!table.is_complete());
  CHECK(!found);
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
  const ProcessReader reader;
  const auto entry = reader.find(command.tree().leader);
  REQUIRE(entry.ok());
  REQUIRE(entry->has_value());
  CHECK(signal_process(reader, (*entry)->id, 0));
  ProcessId another = (*entry)->id;
  ++another.started;
  CHECK(!signal_process(reader, another, SIGKILL));
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
  TreeKiller killer;
  Command command(std::string(double_forked) + "wait");
  const pid_t orphan = command.pid_line();
  CHECK(end_and_wait(killer, command.tree(), 0s));
  CHECK(!is_zombie_of_ours(orphan));
}

TEST_CASE("in a host that orphans come to, those of a command are reaped, and the host's children never") {
  const Subreaper subreaper;
  const std::shared_ptr<TreeKiller> killer = TreeKiller::of_this_process();
  killer->prepare();
  const Bytes name = new_command_name();
  killer->watch(name);
  Command command("(sh -c 'echo $$; exec cat /dev/null' &); read forever", {}, name);
  killer->set_leader(name, command.tree().leader);
  const pid_t orphan = command.pid_line();
  const pid_t unrelated = ::fork();
  if (unrelated == 0) ::_exit(4);
  const auto until = now() + 60s;
  while (is_zombie_of_ours(orphan) || lives(orphan)) {
    REQUIRE(now() < until);
    std::this_thread::yield();
  }
  int status = 0;
  CHECK(::waitpid(unrelated, &status, 0) == unrelated);
  CHECK(end_and_wait(*killer, command.tree(), 0s));
}

namespace {

/// Runs a function in a process that has claimed its orphans, as a slave's program does; gives what it returns.
bool in_slave_program(const std::function<bool()>& function) {
  return test::unless_skipped(test::run_in_child([&function] {
           for (const int signal : {SIGTERM, SIGALRM}) ::signal(signal, SIG_DFL);  // instead of the test framework's
           claim_orphans();
           ::alarm(120);
           return function() ? 0 : 1;
         })) == 0;
}

/// A child that is known as the leader of a command, though it is not started as one: it runs `body` in its session.
pid_t start_leader(const std::function<void()>& body) {
  const pid_t leader = ::fork();
  if (leader == 0) {
    ::setsid();
    body();
    ::_exit(0);
  }
  return leader;
}

/// Events that processes tell another one of: a pipe that a byte goes through for each.
class Events {
 public:
  [[nodiscard]] bool open() {
    return ::pipe2(ends_.data(), O_CLOEXEC) == 0 && ::fcntl(ends_[1], F_SETFL, O_NONBLOCK) == 0;
  }
  ~Events() {
    for (const int end : ends_) ::close(end);
  }

  /// One that finds the pipe full is not missed.
  void tell() const { static_cast<void>(!::write(ends_[1], "x", 1)); }

  /// Waits for so many of them.
  [[nodiscard]] bool wait_for(int count) const {
    char byte = 0;
    while (count > 0 && ::read(ends_[0], &byte, 1) == 1) --count;
    return count == 0;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

/// A command that is watched, and a pipe of which each process of it holds an end.
class WatchedTree {
 public:
  [[nodiscard]] bool open() {
    killer.prepare();
    killer.watch(name_);
    return ::pipe2(alive_.data(), O_CLOEXEC) == 0 && ready.open();
  }

  /// Once.
  void start(const std::function<void()>& body) {
    leader_ = start_leader(body);
    ::close(alive_[1]);
    killer.set_leader(name_, leader_);
  }

  [[nodiscard]] ProcessTree process() const { return {leader_, name_}; }

  /// Whether all of its processes are gone.
  [[nodiscard]] bool is_over() const {
    pollfd ended{alive_[0], POLLIN, 0};
    return ::poll(&ended, 1, 0) == 1;
  }

  TreeKiller killer{TreeKiller::Orphans::reaped};
  Events ready;

 private:
  const Bytes name_ = new_command_name();
  std::array<int, 2> alive_{-1, -1};
  pid_t leader_ = 0;
};

/// A chain of processes in sessions of their own, none of which lives longer than it takes to start the next one. It
/// ends by itself after some seconds; what it holds open shows how long it went on. Tells of each of them.
void run_chain(const Events& links) {
  timespec begin{};
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  for (;;) {
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    links.tell();
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - begin.tv_sec > 20) ::_exit(0);
  }
}

}  // namespace

TEST_CASE("a chain of processes that live for a moment each is ended, and does not pass for an end") {
  CHECK(in_slave_program([] {
    TreeKiller killer(TreeKiller::Orphans::reaped);
    for (int round = 0; round < 5; ++round) {
      std::array<int, 2> alive{};
      Events known;
      Events links;
      if (::pipe2(alive.data(), O_CLOEXEC) != 0 || !known.open() || !links.open()) return false;
      const Bytes name = new_command_name();
      killer.prepare();
      killer.watch(name);
      const pid_t leader = start_leader([&] {
        if (known.wait_for(1)) run_chain(links);
      });
      ::close(alive[1]);
      killer.set_leader(name, leader);
      known.tell();
      if (!links.wait_for(20)) return false;
      const bool gone = end_and_wait(killer, {leader, name}, 0s, 15s);
      pollfd ended{alive[0], POLLIN, 0};
      const bool is_over = ::poll(&ended, 1, 0) == 1;  // nobody holds the other end
      ::close(alive[0]);
      ::waitpid(leader, nullptr, 0);
      if (!gone || !is_over) return false;
    }
    return true;
  }));
}

TEST_CASE("a tree is ended without a free descriptor and without a process to spare") {
  CHECK(in_slave_program([] {
    WatchedTree tree;
    if (!tree.open()) return false;
    static_cast<void>(test::drop_privileges());  // root's processes have no such limit
    constexpr int children = 5;
    tree.start([&ready = tree.ready] {
      for (int i = 0; i < children; ++i) {
        if (::fork() == 0) {
          ::setsid();
          ::signal(SIGTERM, SIG_IGN);
          ready.tell();
          for (;;) ::pause();
        }
      }
      for (;;) ::pause();
    });
    if (!tree.ready.wait_for(children)) return false;
    while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
    }
    const bool none_free = errno == EMFILE;
    rlimit no_processes{0, 0};
    ::setrlimit(RLIMIT_NPROC, &no_processes);
    const bool gone = end_and_wait(tree.killer, tree.process(), 50ms);
    return none_free && gone && tree.is_over();
  }));
}

TEST_CASE("an orphan whose environment cannot be read is ended with its command") {
  CHECK(in_slave_program([] {
    if (!test::drop_privileges()) ::_exit(test::skipped);  // root reads every environment
    WatchedTree tree;
    if (!tree.open()) return false;
    tree.start([&ready = tree.ready] {
      if (::fork() == 0) {
        ::setsid();
        ::prctl(PR_SET_DUMPABLE, 0);
        if (::fork() != 0) ::_exit(0);
        ::signal(SIGTERM, SIG_IGN);
        ready.tell();
      }
      for (;;) ::pause();
    });
    const bool gone = tree.ready.wait_for(1) && end_and_wait(tree.killer, tree.process(), 50ms);
    return gone && tree.is_over();
  }));
}

TEST_CASE("as long as processes cannot be looked at, none counts as gone") {
  CHECK(in_slave_program([] {
    WatchedTree tree;
    if (!tree.open()) return false;
    tree.start([&ready = tree.ready] {
      if (::fork() == 0) {
        ::setsid();
        ::signal(SIGTERM, SIG_IGN);
        ready.tell();
      }
      for (;;) ::pause();
    });
    if (!tree.ready.wait_for(1)) return false;
    rlimit usual{};
    ::getrlimit(RLIMIT_NOFILE, &usual);
    const rlimit none{0,
                      usual.rlim_max};  // for the descriptors of all threads, also where they have tables of their own
    ::setrlimit(RLIMIT_NOFILE, &none);
    std::promise<bool> done;
    auto gone = done.get_future();
    const std::size_t before = tree.killer.effort().looks;
    tree.killer.end(tree.process(), now() + 50ms, now() + 60s, [&done](bool all) { done.set_value(all); });
    while (tree.killer.effort().looks < before + 6 && gone.wait_for(1ms) != std::future_status::ready) {
    }
    const bool is_told = gone.wait_for(0s) == std::future_status::ready;
    ::setrlimit(RLIMIT_NOFILE, &usual);
    const bool is_gone = gone.get();
    return !is_told && is_gone && tree.is_over();
  }));
}

TEST_CASE("the status of every command is left to who started it, whatever else is ended meanwhile") {
  CHECK(in_slave_program([] {
    TreeKiller killer(TreeKiller::Orphans::reaped);
    killer.prepare();
    const Bytes name = new_command_name();
    killer.watch(name);
    const pid_t leader = start_leader([] {
      for (;;) ::pause();
    });
    killer.set_leader(name, leader);
    // Of another connection; without a pidfd, by which the system would tell the status of one that was reaped.
    auto other = spawn({.args = {"/bin/sh", "-c", "exit 3"}, .env = {}, .session = true, .use_pidfd = false});
    if (!other) return false;
    pollfd ended{other->exit_descriptor(), POLLIN, 0};
    if (::poll(&ended, 1, 60'000) != 1) return false;
    if (!end_and_wait(killer, {leader, name}, 0s)) return false;
    const auto status = other->reap();
    return status.ok() && status->has_value() && (*status)->code == 3;
  }));
}

TEST_CASE("an orphan that nothing tells of is ended with the last command that may have started it") {
  CHECK(in_slave_program([] {
    TreeKiller killer(TreeKiller::Orphans::reaped);
    killer.prepare();
    std::array<int, 2> alive{};
    Events orphaned;
    if (::pipe2(alive.data(), O_CLOEXEC) != 0 || !orphaned.open()) return false;
    std::array<Bytes, 2> names{new_command_name(), new_command_name()};
    std::array<pid_t, 2> leaders{};
    for (std::size_t i = 0; i < 2; ++i) {
      killer.watch(names[i]);
      leaders[i] = start_leader([&] {
        if (i == 0) ::close(alive[1]);
        if (i == 1 && ::fork() == 0) {
          ::setsid();
          const pid_t parent = ::getpid();
          if (::fork() != 0) ::_exit(0);
          ::setsid();
          while (::getppid() == parent) std::this_thread::yield();
          orphaned.tell();
          for (;;) ::pause();
        }
        if (i == 1) ::close(alive[1]);
        for (;;) ::pause();
      });
      killer.set_leader(names[i], leaders[i]);
    }
    ::close(alive[1]);
    if (!orphaned.wait_for(1)) return false;
    pollfd ended{alive[0], POLLIN, 0};
    if (!end_and_wait(killer, {leaders[0], names[0]}, 0s)) return false;
    if (::poll(&ended, 1, 0) != 0) return false;  // it may be of the other one
    if (!end_and_wait(killer, {leaders[1], names[1]}, 0s)) return false;
    return ::poll(&ended, 1, 0) == 1;
  }));
}

TEST_CASE("a child in our own session is never taken for an orphan of a command") {
  CHECK(in_slave_program([] {
    TreeKiller killer(TreeKiller::Orphans::reaped);
    killer.prepare();
    const Bytes name = new_command_name();
    killer.watch(name);
    const pid_t leader = start_leader([] {
      for (;;) ::pause();
    });
    killer.set_leader(name, leader);
    const pid_t own = ::fork();
    if (own == 0) {
      for (;;) ::pause();
    }
    const pid_t dead = ::fork();
    if (dead == 0) ::_exit(7);
    if (!end_and_wait(killer, {leader, name}, 0s)) return false;
    if (::kill(own, 0) != 0) return false;
    int status = 0;
    if (::waitpid(dead, &status, 0) != dead || WEXITSTATUS(status) != 7) return false;
    ::kill(own, SIGKILL);
    return ::waitpid(own, &status, 0) == own && WIFSIGNALED(status);
  }));
}

TEST_CASE("all users of a process share one killer") {
  const auto killer = TreeKiller::of_this_process();
  CHECK(killer == TreeKiller::of_this_process());
}
#endif
