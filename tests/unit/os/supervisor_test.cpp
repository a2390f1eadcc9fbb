// The supervisor and its worker, each pair in processes of its own.
#include "os/supervisor.hpp"

#include "os/own_children.hpp"
#include "os/process.hpp"
#include "os/signal_thread.hpp"
#include "support/child_process.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

#if defined(__SANITIZE_THREAD__)
constexpr bool has_thread_of_sanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool has_thread_of_sanitizer = true;
#else
constexpr bool has_thread_of_sanitizer = false;
#endif
#else
constexpr bool has_thread_of_sanitizer = false;
#endif

/// A pipe that processes hold open for writing: shows when they have begun and when all of them have ended. They end by
/// themselves when its gate is closed.
class HeldPipe {
 public:
  HeldPipe() {
    REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(gate_.data(), O_CLOEXEC) == 0);
  }
  HeldPipe(const HeldPipe&) = delete;
  HeldPipe& operator=(const HeldPipe&) = delete;
  ~HeldPipe() {
    for (const int end : {ends_[0], ends_[1], gate_[0], gate_[1]}) {
      if (end >= 0) ::close(end);
    }
  }

  /// Says what a process says that begins to hold it.
  void touch() const { static_cast<void>(!::write(ends_[1], "x", 1)); }

  /// In a process that is to hold it, and no other pipe: says so, and waits for the gate.
  [[noreturn]] void hold() const {
    for (int other = STDERR_FILENO + 1; other < 256; ++other) {
      if (other != ends_[1] && other != gate_[0]) ::close(other);
    }
    touch();
    char byte = 0;
    while (::read(gate_[0], &byte, 1) < 0) {
    }
    ::_exit(0);
  }

  /// Waits until one more process holds it.
  [[nodiscard]] bool wait_for_begin() const {
    char byte = 0;
    return wait(60'000) && ::read(ends_[0], &byte, 1) == 1;
  }

  /// In the process that looks: lets go of what only the others hold.
  void release() { ::close(std::exchange(ends_[1], -1)); }
  void open_gate() { ::close(std::exchange(gate_[1], -1)); }

  /// After release(): whether no process holds it.
  [[nodiscard]] bool is_free() const { return wait(0); }
  [[nodiscard]] bool is_soon_free() const { return wait(60'000); }

 private:
  [[nodiscard]] bool wait(int milliseconds) const {
    pollfd ready{ends_[0], POLLIN, 0};
    return ::poll(&ready, 1, milliseconds) == 1;
  }

  std::array<int, 2> ends_{-1, -1};
  std::array<int, 2> gate_{-1, -1};
};

/// Starts a process that holds a pipe, as a child, or as an orphan in a session of its own that no usual signal ends.
void start_holder(const HeldPipe& pipe, bool gets_away) {
  const pid_t child = ::fork();
  if (child == 0 && !gets_away) pipe.hold();
  if (child == 0) {
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    for (const int signal : {SIGTERM, SIGHUP, SIGINT}) ::signal(signal, SIG_IGN);
    pipe.hold();
  }
  if (gets_away) ::waitpid(child, nullptr, 0);
}

/// How a process ends that is divided, and whose worker does this.
int status_of_supervised(const std::function<int()>& work) {
  return status_of_child([&work] { return begin_supervision(false) ? work() : 99; });
}

[[noreturn]] void die_by(int signal) {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(signal, SIG_DFL);
  ::kill(::getpid(), signal);
  for (;;) ::pause();
}

/// The next of some blocked signals, which must come soon.
siginfo_t next_signal(const sigset_t& signals) {
  siginfo_t info{};
  const timespec limit{60, 0};
  while (::sigtimedwait(&signals, &info, &limit) < 0 && errno == EINTR) {
  }
  return info;
}

std::vector<pid_t> children_by(ChildList list) {
  std::vector<pid_t> all;
  const auto add = [](void* context, pid_t child) { static_cast<std::vector<pid_t>*>(context)->push_back(child); };
  visit_children(list, add, &all);
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

TEST_CASE("the supervisor ends as its worker ends: with the same exit code, or by the same signal") {
  for (const int code : {0, 7, 255}) {
    const int status = status_of_supervised([code] { return code; });
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == code);
  }
  for (const int signal : {SIGTERM, SIGKILL, SIGABRT, SIGSEGV, SIGUSR1}) {
    CAPTURE(signal);
    const int status = status_of_supervised([signal]() -> int { die_by(signal); });
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
  }
}

TEST_CASE("what a killed worker leaves is gone when its supervisor has ended, whatever it did to get away") {
  for (const int how : {SIGKILL, SIGABRT, 0}) {  // 0: it exits, but without having ended what it started
    CAPTURE(how);
    HeldPipe pipe;
    const int status = status_of_supervised([&pipe, how]() -> int {
      for (const bool gets_away : {false, true}) start_holder(pipe, gets_away);
      for (int begun = 0; begun < 2; ++begun) {
        if (!pipe.wait_for_begin()) return 98;
      }
      const Supervised supervised([] {});
      if (how == 0) ::_exit(0);
      die_by(how);
    });
    CHECK((how == 0 ? WIFEXITED(status) : WTERMSIG(status) == how));
    pipe.release();
    CHECK(pipe.is_free());
  }
}

TEST_CASE("a worker that says that it has ended what it started may leave processes to others") {
  HeldPipe pipe;
  const int status = status_of_supervised([&pipe] {
    {
      const Supervised supervised([] {});
    }
    start_holder(pipe, true);
    return pipe.wait_for_begin() ? 3 : 98;
  });
  CHECK(WEXITSTATUS(status) == 3);
  pipe.release();
  CHECK_FALSE(pipe.is_free());
  pipe.open_gate();
  CHECK(pipe.is_soon_free());
}

TEST_CASE("children that the process had before it was divided are spared") {
  HeldPipe before;
  HeldPipe after;
  const int status = status_of_child([&]() -> int {
    start_holder(before, false);
    if (!before.wait_for_begin() || !begin_supervision(false)) return 99;
    start_holder(after, true);
    if (!after.wait_for_begin()) return 98;
    die_by(SIGKILL);
  });
  CHECK(WTERMSIG(status) == SIGKILL);
  before.release();
  after.release();
  CHECK_FALSE(before.is_free());
  CHECK(after.is_soon_free());
  before.open_gate();
  CHECK(before.is_soon_free());
}

TEST_CASE("the supervisor passes each signal on, once") {
  CHECK(WEXITSTATUS(status_of_supervised([] {
          sigset_t signals;
          ::sigemptyset(&signals);
          for (const int signal : {SIGUSR1, SIGTERM, SIGHUP}) ::sigaddset(&signals, signal);
          ::sigprocmask(SIG_BLOCK, &signals, nullptr);
          for (const int signal : {SIGUSR1, SIGTERM, SIGHUP, SIGTERM}) {
            ::kill(::getppid(), signal);
            const siginfo_t info = next_signal(signals);
            if (info.si_signo != signal || !is_passed_on(info)) return 1;
          }
          ::kill(::getpid(), SIGUSR1);
          const siginfo_t own = next_signal(signals);
          if (own.si_signo != SIGUSR1 || is_passed_on(own)) return 2;
          const timespec none{0, 0};
          return ::sigtimedwait(&signals, nullptr, &none) < 0 ? 0 : 3;
        })) == 0);
}

TEST_CASE("a signal that comes by itself and from the supervisor is one") {
  struct Came {
    int signal;
    bool passed_on;
    std::chrono::milliseconds after;  // the one before
    bool is_new;
  };
  const std::vector<std::vector<Came>> stories{
      {{SIGTERM, false, 0ms, true}, {SIGTERM, true, 1ms, false}, {SIGTERM, true, 1ms, true}},
      {{SIGTERM, true, 0ms, true}, {SIGTERM, false, 900ms, false}},
      {{SIGTERM, true, 0ms, true}, {SIGTERM, true, 0ms, true}, {SIGTERM, true, 0ms, true}},
      {{SIGTERM, false, 0ms, true},
       {SIGTERM, false, 1ms, true},
       {SIGTERM, true, 1ms, false},
       {SIGTERM, true, 1ms, false}},
      {{SIGTERM, false, 0ms, true}, {SIGHUP, true, 1ms, true}, {SIGTERM, true, 1ms, false}},
      {{SIGTERM, false, 0ms, true}, {SIGTERM, true, 1100ms, true}},
  };
  for (std::size_t story = 0; story < stories.size(); ++story) {
    CAPTURE(story);
    DoubledSignals doubled;
    TimePoint now{};
    for (const Came& came : stories[story]) {
      now += came.after;
      CHECK(doubled.is_new(came.signal, came.passed_on, now) == came.is_new);
    }
  }
}

TEST_CASE("the supervisor stops when its worker is stopped as by a terminal, and both go on") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (!begin_supervision(false)) ::_exit(99);
    ::kill(::getpid(), SIGTSTP);
    ::_exit(5);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, WUNTRACED) == child);
  REQUIRE(WIFSTOPPED(status));
  ::kill(child, SIGCONT);
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 5);
}

TEST_CASE("if the supervisor is killed, its worker hears it, starts nothing more, and kills what it has started") {
  HeldPipe pipe;
  HeldPipe good;
  const int status = status_of_supervised([&]() -> int {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // so the orphan becomes its child
    start_holder(pipe, false);
    start_holder(pipe, true);
    for (int begun = 0; begun < 2; ++begun) {
      if (!pipe.wait_for_begin()) return 98;
    }
    std::promise<void> lost;
    const Supervised supervised([&lost] { lost.set_value(); });
    ::kill(::getppid(), SIGKILL);
    if (lost.get_future().wait_for(60s) != std::future_status::ready) return 97;
    for (int ended = 0; ended < 2; ++ended) {
      int how = 0;
      if (::waitpid(-1, &how, 0) < 0 || WTERMSIG(how) != SIGKILL) return 96;
    }
    const auto process = spawn({.args = {"true"}, .env = {"PATH=/bin:/usr/bin"}});
    if (process || process.failure().os != ECANCELED) return 95;
    good.touch();
    return 0;
  });
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK(good.wait_for_begin());
}

TEST_CASE("a signal thread takes a signal to both processes for one") {
  CHECK(WEXITSTATUS(status_of_supervised([] {
          ::signal(SIGHUP, SIG_DFL);  // tests that are run by nohup ignore it
          std::vector<int> came;
          std::promise<void> over;
          const SignalThread signals({SIGHUP, SIGTERM}, [&](int signal) {
            came.push_back(signal);
            if (signal == SIGTERM) over.set_value();
          });
          ::kill(::getpid(), SIGHUP);
          ::kill(::getppid(), SIGHUP);
          ::kill(::getppid(), SIGTERM);  // of two signals the supervisor passes on the one with the lower number first
          if (over.get_future().wait_for(60s) != std::future_status::ready) return 1;
          return came == std::vector<int>{SIGHUP, SIGTERM} ? 0 : 2;
        })) == 0);
}

TEST_CASE("a process with threads is not divided") {
  if (has_thread_of_sanitizer) return;  // there every process has threads
  CHECK(run_in_child([] {
          const pid_t self = ::getpid();
          std::promise<void> go;
          std::thread other([&go] { go.get_future().wait(); });
          const auto begun = begin_supervision(false);
          const bool is_right = !begun && ::getpid() == self;
          go.set_value();
          other.join();
          return is_right ? 0 : 1;
        }) == 0);
}

TEST_CASE("children are found by either list, and only the living ones that are not spared are killed") {
  for (const ChildList list : {ChildList::children, ChildList::table}) {
    CHECK(run_in_child([list] {
            HeldPipe pipe;
            start_holder(pipe, false);
            SparedChildren spared;
            spared.add_all();
            start_holder(pipe, false);
            for (int begun = 0; begun < 2; ++begun) {
              if (!pipe.wait_for_begin()) return 1;
            }
            const std::vector<pid_t> all = children_by(list);
            if (all.size() != 2 || all != children_by(ChildList::table)) return 2;
            const pid_t other = spared.contains(all[0]) ? all[1] : all[0];
            if (kill_children(spared, list) != 1) return 3;
            int status = 0;
            if (::waitid(P_PID, static_cast<id_t>(other), nullptr, WEXITED | WNOWAIT) != 0) return 4;
            if (kill_children(spared, list) != 0) return 5;  // a zombie
            if (::waitpid(other, &status, 0) != other || WTERMSIG(status) != SIGKILL) return 6;
            if (children_by(list).size() != 1 || kill_children({}, list) != 1) return 7;
            return ::waitpid(-1, &status, 0) > 0 && WTERMSIG(status) == SIGKILL ? 0 : 8;
          }) == 0);
  }
}

}  // namespace remsh::test
