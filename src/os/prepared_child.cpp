// The child between vfork() and exec. It shares our memory, and other threads of this process go on meanwhile. So it
// only makes system calls, by functions that take no lock, allocate nothing, and neither read nor change what belongs
// to the threads of this process. It must not return from run_child().
#include "os/prepared_child.hpp"

#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace remsh {

namespace {

/// What the child writes into the pipe if it cannot become the program. If it can, the pipe is closed empty.
struct ChildReport {
  int error = 0;
  ChildFailure failure = {};
};

constexpr int line_number = STDERR_FILENO + 1;  // of the pipe, in the end
constexpr int cwd_number = line_number + 1;     // of the directory, in the end
constexpr int most_descriptors = 65536;         // that are closed one by one

[[noreturn]] void report_step(int line, ChildStep step, std::size_t limit = 0) {
  ChildReport report;
  report.error = errno;
  report.failure.step = step;
  report.failure.limit = limit;
  static_cast<void>(!::write(line, &report, sizeof report));
  ::_exit(127);
}

/// All signals as a new program expects them. The child has dispositions of its own.
void reset_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &action, nullptr);
}

/// Closes all descriptors but the first ones.
void close_from(int first) {
#if defined(SYS_close_range)
  if (::syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  rlimit limit{};
  const bool is_known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most_descriptors;
  const int end = is_known ? static_cast<int>(limit.rlim_cur) : most_descriptors;
  for (int descriptor = first; descriptor < end; ++descriptor) ::close(descriptor);
}

void make_settings(const SpawnSettings& settings, int nice) {
  if (settings.nice && ::setpriority(PRIO_PROCESS, 0, nice) != 0) report_step(line_number, ChildStep::nice);
  if (settings.umask) ::umask(*settings.umask);
  for (std::size_t i = 0; i < settings.limits.size(); ++i) {
    const LimitSetting& setting = settings.limits[i];
    if (::setrlimit(static_cast<decltype(RLIMIT_CORE)>(setting.resource), &setting.limit) != 0) {
      report_step(line_number, ChildStep::limit, i);
    }
  }
}

/// The C library's own functions would change all threads of this process. The kernel makes memory that is shared with
/// a child like this unreadable for other processes of the new user.
bool take_rights(const UserRights& user) {
#if defined(SYS_setresuid32)
  constexpr long set_groups = SYS_setgroups32;
  constexpr long set_gid = SYS_setresgid32;
  constexpr long set_uid = SYS_setresuid32;
#else
  constexpr long set_groups = SYS_setgroups;
  constexpr long set_gid = SYS_setresgid;
  constexpr long set_uid = SYS_setresuid;
#endif
  return ::syscall(set_groups, user.groups.size(), user.groups.data()) == 0 &&
         ::syscall(set_gid, user.gid, user.gid, user.gid) == 0 && ::syscall(set_uid, user.uid, user.uid, user.uid) == 0;
}

/// A copy of a descriptor, apart from the numbers that the child uses; closed when the program begins.
int copy_apart(int descriptor) { return ::fcntl(descriptor, F_DUPFD_CLOEXEC, cwd_number + 1); }

/// `pipe`: where to report a failure.
[[noreturn]] void run_child(const ChildPlan& plan, int nice, int pipe) {
  reset_signals();
  const bool has_cwd = plan.cwd >= 0;
  const int line = copy_apart(pipe);
  if (line < 0) report_step(pipe, ChildStep::descriptors);
  const int cwd = has_cwd ? copy_apart(plan.cwd) : -1;
  if (has_cwd && cwd < 0) report_step(line, ChildStep::descriptors);
  const int group = plan.settings->group;
  if (group >= 0 && ::write(group, "0", 1) != 1) report_step(line, ChildStep::group);
  if ((plan.session ? ::setsid() : ::setpgid(0, 0)) < 0) report_step(line, ChildStep::session);
  int target = STDIN_FILENO;
  for (const int descriptor : plan.standard) {
    if (::dup2(descriptor, target++) < 0) report_step(line, ChildStep::descriptors);
  }
  if (plan.settings->terminal && ::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) report_step(line, ChildStep::terminal);
  if (::dup3(line, line_number, O_CLOEXEC) < 0) report_step(line, ChildStep::descriptors);
  if (has_cwd && ::dup3(cwd, cwd_number, O_CLOEXEC) < 0) report_step(line, ChildStep::descriptors);
  close_from(has_cwd ? cwd_number + 1 : cwd_number);
  make_settings(*plan.settings, nice);
  if (plan.settings->user && !take_rights(*plan.settings->user)) report_step(line_number, ChildStep::user);
  if (has_cwd && ::fchdir(cwd_number) != 0) report_step(line_number, ChildStep::directory);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.path, plan.args, plan.env);
  report_step(line_number, ChildStep::program);
}

/// A function of its own, so that nothing of the caller is in registers that the child changes.
[[gnu::noinline]] pid_t fork_child(const ChildPlan& plan, int nice, int pipe) {
  const pid_t pid = ::vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork): see above
  if (pid == 0) run_child(plan, nice, pipe);
  return pid;
}

}  // namespace

int start_prepared_child(pid_t& pid, const ChildPlan& plan, ChildFailure& failure) {
  std::array<int, 2> ends{};
  failure.step = ChildStep::descriptors;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno;
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);

  constexpr int nicest = -20;
  constexpr int least_nice = 19;
  const int nice = std::clamp(::getpriority(PRIO_PROCESS, 0) + plan.settings->nice.value_or(0), nicest, least_nice);

  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t child = fork_child(plan, nice, theirs.get());
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  failure.step = ChildStep::program;
  if (child < 0) return error;

  theirs.reset();
  ChildReport report;
  ssize_t got = 0;
  do {
    got = ::read(ours.get(), &report, sizeof report);
  } while (got < 0 && errno == EINTR);
  if (got == 0) {
    pid = child;
    return 0;
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  failure = report.failure;
  return got == static_cast<ssize_t>(sizeof report) && report.error != 0 ? report.error : EIO;
}

}  // namespace remsh
