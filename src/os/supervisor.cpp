#include "os/supervisor.hpp"

#include "base/format.hpp"
#include "os/file.hpp"
#include "os/own_children.hpp"
#include "os/spawned_children.hpp"
#include "os/threads.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using namespace std::chrono_literals;

/// How long the supervisor kills. Only a process that the system cannot end takes longer.
constexpr Duration killing_may_take = 10s;

/// The longest pause between looks at the children, in ms. The end of a child ends the supervisor's pauses.
constexpr int look_pause = 5;

/// What the two processes share.
struct SharedBit {
  std::atomic<bool> has_ended_all{false};  // set by the worker
};
static_assert(std::atomic<bool>::is_always_lock_free);

/// The worker's side. Belongs to the process: it has one supervisor.
struct OwnSupervisor {
  SharedBit* shared = nullptr;  // null: there is no supervisor
  UniqueFd line;                // at its end when the supervisor has ended
  UniqueFd memory;              // that of `shared`, for the next program of this process
};

OwnSupervisor& own_supervisor() {
  static OwnSupervisor instance;
  return instance;
}

/// Of a worker that starts again: the descriptors of OwnSupervisor and the number of the supervisor, with commas
/// between them.
constexpr const char* passed_on_variable = "REMSH_SUPERVISOR";

SharedBit* map_shared(int memory) noexcept {
  void* const mapped = ::mmap(nullptr, sizeof(SharedBit), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<SharedBit*>(mapped);
}

/// Takes over the supervisor of the program that this process had before. False if there was none.
bool take_over_supervisor() {
  const char* const given = std::getenv(passed_on_variable);
  if (given == nullptr) return false;
  std::array<int, 2> descriptors{-1, -1};
  pid_t supervisor = -1;
  const bool is_read = std::sscanf(given, "%d,%d,%d", &descriptors[0], &descriptors[1], &supervisor) == 3;
  ::unsetenv(passed_on_variable);  // it is for this process alone
  if (!is_read || std::min(descriptors[0], descriptors[1]) <= STDERR_FILENO) return false;
  UniqueFd line(descriptors[0]);
  UniqueFd memory(descriptors[1]);
  struct stat what {};
  if (supervisor != ::getppid() || ::fstat(memory.get(), &what) != 0) return false;  // else it was killed meanwhile
  if (what.st_size != sizeof(SharedBit)) return false;
  SharedBit* const shared = map_shared(memory.get());
  if (shared == nullptr) return false;
  for (const UniqueFd* const one : {&line, &memory}) ::fcntl(one->get(), F_SETFD, FD_CLOEXEC);
  OwnSupervisor& own = own_supervisor();
  own.shared = shared;
  own.line = std::move(line);
  own.memory = std::move(memory);
  return true;
}

/// A fork() would leave the other threads behind in the supervisor.
bool has_other_threads() {
#if defined(__SANITIZE_THREAD__)
  return false;  // it has a thread of its own, and starts it again after a fork()
#else
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  return false;
#endif
#endif
  struct stat tasks {};
  constexpr nlink_t of_one_thread = 3;  // the directory has a link for each thread, and two as all directories
  return ::stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > of_one_thread;
#endif
}

// --- the supervisor: no memory is allocated from here to begin_supervision()

/// Keeps nothing of the program but one descriptor, whose end shows the worker that the supervisor has ended.
void release_all_but(int line) noexcept {
  constexpr int own = STDERR_FILENO + 1;
  line = ::fcntl(line, F_DUPFD_CLOEXEC, own);  // its number may be one of those used below
  if (line != own) ::dup3(line, own, O_CLOEXEC);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null >= 0) {
      ::dup2(null, standard);
    } else {
      ::close(standard);
    }
  }
#if defined(SYS_close_range)
  if (::syscall(SYS_close_range, own + 1, ~0U, 0) == 0) return;
#endif
  const long most = ::sysconf(_SC_OPEN_MAX);
  for (int descriptor = own + 1; descriptor < most; ++descriptor) ::close(descriptor);
}

/// The signals stay blocked, and are waited for. The handlers never run. They show in /proc that these signals are
/// handled: TreeKiller sends a signal a second time to a process that it would have ended.
void appear_to_handle_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    if (signal != SIGCHLD && signal != SIGKILL && signal != SIGSTOP) ::sigaction(signal, &action, nullptr);
  }
}

/// Reaps children. Returns how the worker has ended, if it has. Stops if the terminal has stopped the worker, so that a
/// shell notices; when the shell continues both, it goes on.
std::optional<int> reap_until_worker(pid_t worker) noexcept {
  int status = 0;
  for (;;) {
    const pid_t child = ::waitpid(-1, &status, WNOHANG | WUNTRACED);
    if (child < 0 && errno == EINTR) continue;
    if (child <= 0) return std::nullopt;
    if (child != worker) continue;
    if (!WIFSTOPPED(status)) return status;
    const int by = WSTOPSIG(status);
    if (by == SIGTSTP || by == SIGTTIN || by == SIGTTOU) ::kill(::getpid(), SIGSTOP);
  }
}

/// Waits for the end of the worker, and passes signals on. The worker is not reaped meanwhile, so its number is its
/// own.
int wait_for_worker(pid_t worker, const sigset_t& all) noexcept {
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&all, &info);
    if (signal == SIGCHLD) {
      if (const std::optional<int> status = reap_until_worker(worker)) return *status;
    } else if (signal > 0) {
      ::sigqueue(worker, signal, {});
    }
  }
}

/// Kills what the worker has left, until nobody is left.
void kill_what_is_left(const SparedChildren& spared) noexcept {
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  const TimePoint until = std::chrono::steady_clock::now() + killing_may_take;
  bool was_empty = false;
  for (;;) {
    const bool is_empty = kill_children(spared) == 0;
    pid_t reaped = 0;
    do {
      reaped = ::waitpid(-1, nullptr, WNOHANG | __WALL);
    } while (reaped > 0);
    const bool has_none = reaped < 0 && errno == ECHILD;
    // With spared children a list must do, which may miss one if another one ends meanwhile.
    if (has_none || (is_empty && was_empty && !spared.empty())) return;
    was_empty = is_empty;
    if (std::chrono::steady_clock::now() >= until) return;
    const timespec pause{0, look_pause * 1'000'000L};
    ::sigtimedwait(&child, nullptr, &pause);
  }
}

/// Ends this process as another one has ended, but without a core file.
[[noreturn]] void end_as(int status) noexcept {
  if (WIFEXITED(status)) ::_exit(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(signal, &usual, nullptr);
  ::kill(::getpid(), signal);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  constexpr int as_shells_say = 128;
  ::_exit(as_shells_say + signal);  // no signal ends the first process of a container
}

/// The main function of the supervisor.
[[noreturn]] void supervise(pid_t worker, int line, const sigset_t& all, const SharedBit& shared,
                            const SparedChildren& spared) noexcept {
  ::prctl(PR_SET_NAME, "remsh-super");
  ::prctl(PR_SET_DUMPABLE, 0);  // no core file, and none of its memory, which was that of the program, for others
  appear_to_handle_signals();
  release_all_but(line);
  static_cast<void>(!::chdir("/"));
  const int status = wait_for_worker(worker, all);
  if (!WIFEXITED(status) || !shared.has_ended_all) kill_what_is_left(spared);
  end_as(status);
}

}  // namespace

Result<void> begin_supervision(bool has_terminal) {
  OwnSupervisor& own = own_supervisor();
  if (own.shared != nullptr || take_over_supervisor()) return {};
  if (has_other_threads()) {
    return Failure{Errc::invalid_argument, "the program has started threads before it became a slave", 0};
  }
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return os_failure(errno, "child subreaper");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os_failure(errno, "pipe");
  UniqueFd theirs(ends[0]);
  UniqueFd ours(ends[1]);
  UniqueFd memory(::memfd_create("remsh-supervisor", MFD_CLOEXEC));
  if (!memory || ::ftruncate(memory.get(), sizeof(SharedBit)) != 0) return os_failure(errno, "memory");
  SharedBit* shared = map_shared(memory.get());
  if (shared == nullptr) return os_failure(errno, "memory");
  shared = new (shared) SharedBit;
  SparedChildren spared;
  spared.add_all();

  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);  // none is lost: what comes before the worker is there goes to it, too
  const pid_t worker = ::fork();
  const int error = errno;
  if (worker > 0) {
    theirs.reset();
    supervise(worker, ours.get(), all, *shared, spared);
  }
  if (worker == 0 && !has_terminal) ::setpgid(0, 0);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (worker < 0) {
    ::munmap(shared, sizeof(SharedBit));
    return os_failure(error, "fork");
  }
  own.shared = shared;
  own.line = std::move(theirs);
  own.memory = std::move(memory);
  return {};
}

std::optional<std::string> pass_supervisor_on() {
  const OwnSupervisor& own = own_supervisor();
  if (own.shared == nullptr) return std::nullopt;
  for (const int descriptor : {own.line.get(), own.memory.get()}) ::fcntl(descriptor, F_SETFD, 0);
  return formatted("{}={},{},{}", passed_on_variable, own.line.get(), own.memory.get(), ::getppid());
}

std::optional<pid_t> supervisor_of_this_process() noexcept {
  if (own_supervisor().shared == nullptr) return std::nullopt;
  return ::getppid();
}

bool is_passed_on(const siginfo_t& signal) noexcept {
  return signal.si_code == SI_QUEUE && signal.si_pid == supervisor_of_this_process();
}

bool DoubledSignals::is_new(int signal, bool passed_on, TimePoint now) {
  std::erase_if(singles_, [now](const Single& single) { return now - single.at > window; });
  const auto other = std::find_if(singles_.begin(), singles_.end(), [&](const Single& single) {
    return single.signal == signal && single.passed_on != passed_on;
  });
  if (other == singles_.end()) {
    singles_.push_back({signal, passed_on, now});
    return true;
  }
  singles_.erase(other);
  return false;
}

Supervised::Supervised(std::function<void()> on_lost) : on_lost_(std::move(on_lost)) {
  const OwnSupervisor& own = own_supervisor();
  if (own.shared == nullptr) return;
  own.shared->has_ended_all = false;
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!wake_) throw std::system_error(errno, std::generic_category(), "a descriptor to watch the supervisor with");
  thread_ = start_thread("remsh-watched", [this] { run(); });
}

Supervised::~Supervised() {
  if (!thread_.joinable()) return;
  is_over_ = true;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
  thread_.join();
  own_supervisor().shared->has_ended_all = true;
}

void Supervised::run() {
  std::array<pollfd, 2> ready{{{own_supervisor().line.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  while (::poll(ready.data(), ready.size(), -1) < 0) {  // interrupted
  }
  if (ready[0].revents == 0) return;
  is_lost_ = true;
  on_lost_();  // first, so that the ends of commands are reported to nobody
  SpawnedChildren::instance().end_births();
#if defined(SYS_close_range)
  // With a table of descriptors of its own, this thread can read /proc even if the process has none left.
  if (::unshare(CLONE_FILES) == 0) ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
#endif
  while (!is_over_) {
    kill_children({});
    ::poll(nullptr, 0, look_pause);
  }
}

}  // namespace remsh
