// Process: a program that we start, from its start to its exit status; pipes to talk to it. The only fork and exec.
#pragma once

#include "base/result.hpp"
#include "os/spawn_settings.hpp"
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
  std::vector<Bytes> env;   ///< NAME=value: its whole environment
  int cwd = -1;             ///< a directory; -1: ours. Relative entries of PATH begin there, too
  int in = -1;              ///< -1: /dev/null
  int out = -1;
  int err = -1;
  bool session = false;   ///< begins a session of its own (without a terminal), not only a process group
  bool use_pidfd = true;  ///< false: as on a system without pidfds
  SpawnSettings settings = {};
};

/// How a process ended: either `code` or `signal` is set.
struct ExitStatus {
  std::optional<int> code;
  std::optional<int> signal;
  bool core_dumped = false;    ///< with `signal`: the system has written a core file
  std::optional<rusage> used;  ///< includes that of the descendants that it has waited for
};

/// A child of this process, and leader of a process group of its own. One thread at a time, except that signal_group()
/// and has_ended() may be called concurrently.
///
/// Until reap() has returned its status the child is kept as a zombie, so that no other process gets its pid or its
/// group's id. It is signalled only during that time. This requires a program that leaves SIGCHLD alone (it neither
/// ignores it nor waits for children that are not its own). In other programs the status is read from the pidfd, which
/// needs Linux 6.15 or later; otherwise reap() fails with an error that says so.
class Process {
 public:
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  /// A process that was not reaped is killed with its group, and waited for.
  ~Process();

  /// Leaves a process behind that cannot be killed, and forgets it.
  void abandon() noexcept;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Becomes readable when the process has ended, and stays so.
  [[nodiscard]] int exit_descriptor() const noexcept { return exit_.get(); }

  [[nodiscard]] bool has_ended() const noexcept;

  /// Sends a signal to the whole group; false if that is not possible (any more).
  bool signal_group(int signal) noexcept;

  /// The exit status, if the process has ended and is not reaped. It stays there for reap().
  [[nodiscard]] std::optional<ExitStatus> peek() const noexcept;

  /// Returns the exit status, once; nullopt while the process runs. Fails if other code has taken the status.
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
  std::unique_ptr<ExitWaiter> waiter_;  // null if there is a pidfd
};

/// Starts a program: in its own process group, with no signal blocked or ignored, and with no descriptors but the
/// three. Does not copy this process, so the size of this process does not matter. A failure has the system's error
/// (ENOENT, EACCES, ENOEXEC, E2BIG, ...) and says what it is about. If one of the settings cannot be made, no program
/// runs.
Result<Process> spawn(const SpawnRequest& request);

/// Signals a group whose leader is an unreaped child of ours; otherwise returns false and sends nothing.
bool signal_group_of(pid_t leader, int signal) noexcept;

/// Whether a child of ours has ended; also true if the process is no child of ours.
bool has_ended(pid_t child) noexcept;

/// Whether a child of this process was started by spawn() and is not reaped yet. Also true for a child whose spawn()
/// may still be running. `started` is in ticks, as in ProcessId.
bool is_spawned_child(pid_t pid, std::uint64_t started) noexcept;

/// Both ends of a pipe between us and a child. Ours does not block, the child's does.
struct ChildPipe {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<ChildPipe> open_pipe_from_child();
Result<ChildPipe> open_pipe_to_child();

/// Enlarges a pipe, if the system allows it.
void enlarge_pipe(int descriptor) noexcept;

}  // namespace remsh
