#include "os/guard.hpp"

#include "os/process_tree.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/deadline.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <future>

namespace remsh {

namespace {

using namespace std::chrono_literals;

constexpr Duration kill_after = 2s;
constexpr Duration patience = 10s;

/// Belongs to the process: it has one guard.
struct Guard {
  Bytes name;
  UniqueFd line;  // the guard reads the other end
};

Guard& guard() {
  static Guard instance;
  return instance;
}

#if defined(__linux__) && defined(SYS_close_range)
void end_commands(const Bytes& name) {
  TreeKiller killer;
  std::promise<void> over;
  const TimePoint kill_at = std::chrono::steady_clock::now() + kill_after;
  killer.end({-1, name}, kill_at, kill_at + patience, [&over](bool) { over.set_value(); });
  over.get_future().wait();
}

/// The main function of the guard. It releases what it holds of the guarded process (descriptors, a directory).
[[noreturn]] void keep_watch(int line, const Bytes& name) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::prctl(PR_SET_NAME, "remsh-guard");
  if (::chdir("/") != 0) ::_exit(1);
  constexpr int own = STDERR_FILENO + 1;
  line = ::fcntl(line, F_DUPFD_CLOEXEC, own);  // its number may be one of those used below
  if (line < 0) ::_exit(1);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, standard);
  if (line != own) ::dup2(line, own);
  ::syscall(SYS_close_range, own + 1, ~0U, 0);
  char byte = 0;
  while (::read(own, &byte, 1) < 0 && errno == EINTR) {  // there is no writer: returns when the other process ends
  }
  try {
    end_commands(name);
  } catch (const std::exception&) {
    ::_exit(1);
  }
  ::_exit(0);
}
#endif

}  // namespace

void start_guard() noexcept {
#if defined(__linux__) && defined(SYS_close_range)
  std::array<int, 2> ends{};
  if (!guard().name.empty() || ::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  const UniqueFd theirs(ends[0]);
  UniqueFd ours(ends[1]);
  const Bytes name = new_command_name();
  const pid_t child = ::fork();
  if (child == 0) {
    // Two forks and a session: the guard is no child of ours, and signals to our group do not reach it.
    ours.reset();
    ::setsid();
    if (::fork() == 0) keep_watch(theirs.get(), name);
    ::_exit(0);
  }
  if (child < 0) return;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  guard().name = name;
  guard().line = std::move(ours);
#endif
}

Bytes guarded_name() { return guard().name; }

}  // namespace remsh
