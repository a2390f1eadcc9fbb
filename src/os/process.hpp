// Process: a program started by us, from its birth to its exit status; pipes to talk to it. The only fork and exec.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace remsh {

/// What to start. The descriptors are borrowed until spawn() returns.
struct SpawnRequest {
  std::vector<Bytes> args;  ///< at least the program; without a slash it is looked up in the PATH of `env`
  std::vector<Bytes> env;   ///< NAME=value: all that it gets
  int cwd = -1;             ///< a directory; -1: ours. Relative entries of PATH begin there too
  int in = -1;              ///< -1: /dev/null
  int out = -1;
  int err = -1;
  bool session = false;   ///< it begins a session of its own (without a terminal), not just a process group
  bool use_pidfd = true;  ///< false: as on a system that has none
};

/// How a process ended: one of `code` and `signal` is set.
struct ExitStatus {
  std::optional<int> code;
  std::optional<int> signal;
  std::optional<rusage> used;  ///< together with those of its descendants that it has waited for
};

/// A child of this process, leader of a process group of its own. One thread at a time, except that signal_group() and
/// has_ended() may be called beside each other.
///
/// Until reap() has given its status the child is kept as a zombie, so that neither its pid nor its group's id can
/// belong to anybody else: only so long it is signalled. This needs a program that leaves SIGCHLD alone (neither
/// ignores it nor waits for children that are not its own). In one that does not, the status is asked of the pidfd, for
/// which Linux 6.15 or later is needed; else reap() fails with an error that says so.
class Process {
 public:
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  /// One that was not reaped is killed with its group, and waited for.
  ~Process();

  /// One that cannot be killed is left behind; nothing is known of it any more.
  void abandon() noexcept;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Becomes readable when the process has ended, and stays so.
  [[nodiscard]] int exit_descriptor() const noexcept { return exit_.get(); }

  [[nodiscard]] bool has_ended() const noexcept;

  /// Sends a signal to all of the group; false where that is not possible (any more).
  bool signal_group(int signal) noexcept;

  /// Takes the exit status; nothing while it runs. Fails where somebody else has taken it.
  Result<std::optional<ExitStatus>> reap();

 private:
  friend Result<Process> spawn(const SpawnRequest& request);
  class ExitWaiter;
  explicit Process(pid_t pid) noexcept;
  Result<void> watch_exit(bool use_pidfd);
  void end() noexcept;

  pid_t pid_;
  bool reaped_ = false;
  UniqueFd exit_;
  std::unique_ptr<ExitWaiter> waiter_;  // where there is no pidfd
};

/// Starts a program: its own process group, no signal blocked or ignored, no descriptor but the three. Does not copy
/// this process, so it costs the same for a big one. A failure is the system's own, with what it is about:
/// ENOENT, EACCES, ENOEXEC, E2BIG, ...
Result<Process> spawn(const SpawnRequest& request);

/// Signals a group whose leader is an unreaped child of ours; false (and no signal) where it is not.
bool signal_group_of(pid_t leader, int signal) noexcept;

/// Whether a child of ours runs no more; also true for what is no child of ours.
bool has_ended(pid_t child) noexcept;

/// Whether a child of this process was started by spawn() and is not reaped yet; also true for one that may be in the
/// middle of its spawn(). `started` is in ticks, as in ProcessId.
bool is_spawned_child(pid_t pid, std::uint64_t started) noexcept;

/// Both ends of a pipe between us and a child. Ours never blocks, the child's does.
struct ChildPipe {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<ChildPipe> open_pipe_from_child();
Result<ChildPipe> open_pipe_to_child();

/// Lets more fit in a pipe, where the system allows it.
void enlarge_pipe(int descriptor) noexcept;

}  // namespace remsh
