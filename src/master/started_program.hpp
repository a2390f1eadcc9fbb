// StartedProgram: a program that was started as a slave, watched by the loop from its start to its end.
#pragma once

#include "base/result.hpp"
#include "master/program_output.hpp"
#include "master/slave_process.hpp"
#include "os/process_tree.hpp"
#include "os/unique_fd.hpp"
#include "transport/descriptor_watch.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/log.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace remsh {

/// A program that was started as a slave. The loop reads its output into the log, sees its end, ends what it left
/// behind if it did not end in order, and reaps it, without waiting for user code. Thread-safe.
///
/// If the program has a connection of its own, the connection holds it: a program that has ended is not reaped until
/// release(), as processes that it started may still use the connection.
class StartedProgram : public std::enable_shared_from_this<StartedProgram> {
 public:
  /// The time from SIGTERM to SIGKILL for what a program left behind.
  static constexpr std::chrono::seconds leftovers_may_take{2};

  /// How long SIGKILL may take to end everything. Only a process that the system cannot end takes longer.
  static constexpr std::chrono::seconds kill_may_take{5};

  /// What a StartedProgram needs of the object that started it.
  struct Owner {
    std::shared_ptr<Loop> loop;
    TreeKiller& killer;  ///< must live until on_end was called
    std::function<void(LogLevel, const std::string&)> log;
    std::function<void()> on_exit = {};  ///< on the loop: the program has ended; exited() says how
    std::function<void()> on_end = {};   ///< on the loop, last of all: it was reaped, and nothing of it is left
  };

  /// `output` is our end of a pipe that the program writes to.
  StartedProgram(SlaveProcess process, UniqueFd output) : process_(std::move(process)), output_(std::move(output)) {}

  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

  /// By the clock of the loop that watches it.
  [[nodiscard]] TimePoint now() const noexcept { return owner_->loop->now(); }

  /// Begins to watch the program. Call it once, and before anything else.
  void watch(Owner owner);

  /// Prevents reaping until release().
  void hold();
  void release();

  /// Kills the program and everything that it started, unless it has ended by then.
  void end_by(TimePoint when);

  /// Waits until the program has ended; false if it has not by that time.
  bool wait_for_exit(TimePoint until);

  /// Waits until it was reaped and nothing of it is left. Not on the loop.
  void wait_for_end();

  /// How it ended, as a failure for a caller that needed a slave; nullopt while it runs.
  [[nodiscard]] std::optional<Failure> exited() const;

  /// "; it said: ..." for an error message; empty if it wrote nothing.
  [[nodiscard]] std::string words() const;

 private:
  void on_output();
  bool read_output();
  void on_exit();
  void kill(TimePoint kill_at);
  void on_killed(bool gone);
  void settle();
  void end();

  SlaveProcess process_;  // loop only, except for its constant parts

  // Loop only.
  UniqueFd output_;
  ProgramOutput lines_;
  std::optional<DescriptorWatch> output_watch_;
  std::optional<DescriptorWatch> exit_watch_;
  SlaveProcess::End end_;
  bool leftovers_seen_to_ = false;

  std::optional<Owner> owner_;  // constant once the program is watched
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Failure> exited_;
  std::string last_lines_;
  bool is_held_ = false;
  unsigned jobs_ = 0;     // of the killer, which need the process unreaped
  bool is_over_ = false;  // it must not be killed any more
  bool is_gone_ = false;  // on_end has returned, too
};

}  // namespace remsh
