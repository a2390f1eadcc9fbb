// Process: the end of a child, by waitid() and a pidfd if there is one; pipes. spawn() is in spawn.cpp.
#include "os/process.hpp"

#include "os/file.hpp"
#include "os/spawned_children.hpp"
#include "os/threads.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// The size of a pipe that carries much: a quarter of what Linux allows every user.
constexpr int enlarged_pipe = 256 * 1024;

#if defined(__linux__)
/// The wait status of a process that was reaped already, from a pidfd that was opened before; nullopt if this system
/// does not keep it.
std::optional<int> status_by_pidfd(int pidfd) noexcept {
  struct Info {  // struct pidfd_info, which only new headers have
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::array<std::uint32_t, 11> ids;
    std::int32_t exit_status;
  };
  static_assert(sizeof(Info) == 64);
  constexpr std::uint64_t wants_exit = 1U << 3U;
  Info info{};
  info.mask = wants_exit;
  if (::ioctl(pidfd, _IOWR(0xFF, 11, Info), &info) != 0 || (info.mask & wants_exit) == 0) return std::nullopt;
  return info.exit_status;
}
#endif

/// Why there is no status of a child.
Failure lost_status(int error) {
  struct sigaction action {};
  const bool is_dropped = ::sigaction(SIGCHLD, nullptr, &action) == 0 &&
                          (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT) != 0);
  return os_failure(
      error, is_dropped ? "the exit status is lost, as the slave's program ignores SIGCHLD: it must not (SIG_DFL)"
                        : "the exit status was taken by another part of the slave's program");
}

ExitStatus exit_status_of(int status) {
  ExitStatus ended;
  if (WIFSIGNALED(status)) {
    ended.signal = WTERMSIG(status);
    ended.core_dumped = WCOREDUMP(status);
  } else {
    ended.code = WEXITSTATUS(status);
  }
  return ended;
}

enum class ChildState { running, ended, not_ours };

ChildState state_of(pid_t pid) noexcept {
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ChildState::not_ours;
  return info.si_pid == pid ? ChildState::ended : ChildState::running;
}

/// The read end is the first.
Result<std::array<UniqueFd, 2>> open_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os_failure(errno, "pipe");
  return std::array<UniqueFd, 2>{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<ChildPipe> child_pipe(std::size_t our_end) {
  Result<std::array<UniqueFd, 2>> ends = open_pipe();
  if (!ends) return std::move(ends).failure();
  ChildPipe pipe{std::move((*ends)[our_end]), std::move((*ends)[1 - our_end])};
  if (::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) != 0) return os_failure(errno, "pipe");
  return pipe;
}

}  // namespace

/// A thread that waits for the end of one child and then makes a descriptor readable.
class Process::ExitWaiter {
 public:
  ExitWaiter(pid_t pid, UniqueFd signalled) : signalled_(std::move(signalled)) {
    thread_ = start_thread("remsh-exit", [this, pid] { run(pid); });
  }
  ExitWaiter(const ExitWaiter&) = delete;
  ExitWaiter& operator=(const ExitWaiter&) = delete;
  ~ExitWaiter() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run(pid_t pid) {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    signalled_.reset();
  }

  UniqueFd signalled_;
  std::thread thread_;
};

Process::Process(pid_t pid) noexcept : pid_(pid) {}

Process::Process(Process&& other) noexcept
    : pid_(other.pid_),
      reaped_(std::exchange(other.reaped_, true)),
      exit_(std::move(other.exit_)),
      waiter_(std::move(other.waiter_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = other.pid_;
    reaped_ = std::exchange(other.reaped_, true);
    exit_ = std::move(other.exit_);
    waiter_ = std::move(other.waiter_);
  }
  return *this;
}

Process::~Process() { end(); }

void Process::end() noexcept {
  if (reaped_) return;
  signal_group(SIGKILL);
  waiter_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  SpawnedChildren::instance().remove(pid_);
  reaped_ = true;
}

void Process::abandon() noexcept {
  if (waiter_) static_cast<void>(waiter_.release());  // its thread waits until the process ends
  SpawnedChildren::instance().remove(pid_);
  reaped_ = true;
}

Result<void> Process::watch_exit(bool use_pidfd) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  if (use_pidfd) {
    exit_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));  // has FD_CLOEXEC from the start
    if (exit_) return {};
  }
#else
  static_cast<void>(use_pidfd);
#endif
  Result<std::array<UniqueFd, 2>> ends = open_pipe();
  if (!ends) return std::move(ends).failure();
  exit_ = std::move((*ends)[0]);
  try {
    waiter_ = std::make_unique<ExitWaiter>(pid_, std::move((*ends)[1]));
  } catch (const std::system_error& error) {
    return os_failure(error.code().value(), "a thread for the program");
  }
  return {};
}

bool Process::has_ended() const noexcept { return reaped_ || remsh::has_ended(pid_); }

bool Process::signal_group(int signal) noexcept { return !reaped_ && signal_group_of(pid_, signal); }

std::optional<ExitStatus> Process::peek() const noexcept {
  siginfo_t info{};
  if (reaped_ || ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return std::nullopt;
  if (info.si_pid != pid_) return std::nullopt;
  ExitStatus status;
  (info.si_code == CLD_EXITED ? status.code : status.signal) = info.si_status;
  return status;
}

Result<std::optional<ExitStatus>> Process::reap() {
  int status = 0;
  rusage used{};
  pid_t result = 0;
  if (reaped_) return os_failure(ECHILD, "exit status");
  do {
    result = ::wait4(pid_, &status, WNOHANG, &used);
  } while (result < 0 && errno == EINTR);
  if (result == 0) return std::optional<ExitStatus>();
  const int error = errno;
  reaped_ = true;
  SpawnedChildren::instance().remove(pid_);
  const bool had_waiter = waiter_ != nullptr;
  waiter_.reset();
  if (result > 0) {
    ExitStatus ended = exit_status_of(status);
    ended.used = used;
    return std::optional(ended);
  }
#if defined(__linux__)
  if (!had_waiter) {
    if (const std::optional<int> kept = status_by_pidfd(exit_.get())) return std::optional(exit_status_of(*kept));
  }
#endif
  return lost_status(error);
}

bool signal_group_of(pid_t leader, int signal) noexcept {
  return state_of(leader) != ChildState::not_ours && ::kill(-leader, signal) == 0;
}

bool has_ended(pid_t child) noexcept { return state_of(child) != ChildState::running; }

bool is_spawned_child(pid_t pid, std::uint64_t started) noexcept {
  return SpawnedChildren::instance().may_contain(pid, started);
}

Result<ChildPipe> open_pipe_from_child() { return child_pipe(0); }

Result<ChildPipe> open_pipe_to_child() { return child_pipe(1); }

void enlarge_pipe(int descriptor) noexcept {
#if defined(F_SETPIPE_SZ)
  static_cast<void>(::fcntl(descriptor, F_SETPIPE_SZ, enlarged_pipe));
#else
  static_cast<void>(descriptor);
#endif
}

}  // namespace remsh
