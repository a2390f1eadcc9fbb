// Supervisor: the parent process of a slave program, which ends what the program has started if the program is killed.
//
// A slave program is two processes. The supervisor is the one that was started; the worker is its child, and does the
// work. Both are child subreapers, so orphans of commands become children of the worker, and of the supervisor when the
// worker has ended. If one of the two is killed, the other one kills everything. Decision 0041.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/deadline.hpp>

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace remsh {

/// Divides this process: it becomes the supervisor, and the caller goes on in a child, the worker, where this function
/// returns. Call it on the main thread, before there is another one, and before you open descriptors whose closing by
/// the worker must take effect at once. In a process that is a worker already, it does nothing. If it fails, the caller
/// goes on in the same process, without a supervisor. `has_terminal`: the process has a terminal. Then the worker stays
/// in its process group, as it may use the terminal; otherwise it gets a group of its own.
///
/// The supervisor passes on to the worker each signal that it gets, stops if the terminal stops the worker, and ends as
/// the worker ends: with the same exit code, or by the same signal. Unless the worker said that it has ended all that
/// it started (Supervised), the supervisor first kills all children that it has now, and theirs, until there are none:
/// SIGKILL, for 10 s at most. Children that the process had before are spared. The supervisor holds no descriptors and
/// no directory of the program.
Result<void> begin_supervision(bool has_terminal);

/// For a worker that is about to replace its program by an exec: keeps the supervisor for the new program, and returns
/// the variable that its environment must have. begin_supervision() removes the variable. nullopt: no supervisor.
std::optional<std::string> pass_supervisor_on();

/// The supervisor of this process; nullopt: it has none.
std::optional<pid_t> supervisor_of_this_process() noexcept;

/// Whether the supervisor of this process has passed on this signal, which may have come to this process by itself,
/// too.
bool is_passed_on(const siginfo_t& signal) noexcept;

/// Tells apart signals that come twice, because they were sent to both processes (by a terminal, or by a program that
/// ends process trees): once by itself, and once passed on by the supervisor. One thread at a time.
class DoubledSignals {
 public:
  /// Within this time the two are one signal.
  static constexpr Duration window = std::chrono::seconds(1);

  /// False if this is the second of the two.
  bool is_new(int signal, bool passed_on, TimePoint now);

 private:
  struct Single {
    int signal;
    bool passed_on;
    TimePoint at;
  };
  std::vector<Single> singles_;
};

/// For as long as a worker may have started something: if the supervisor ends, calls a function, refuses to start more
/// processes, and kills all children of this process. Its destructor says that everything has been ended. Does nothing
/// in a process without a supervisor.
class Supervised {
 public:
  /// `on_lost` is called on a thread of this object, and must neither block nor throw. Throws std::system_error if
  /// there is no thread or descriptor for it.
  explicit Supervised(std::function<void()> on_lost);
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;
  ~Supervised();

  /// Whether the supervisor has ended.
  [[nodiscard]] bool is_lost() const noexcept { return is_lost_; }

 private:
  void run();

  const std::function<void()> on_lost_;
  UniqueFd wake_;
  std::atomic<bool> is_over_ = false;
  std::atomic<bool> is_lost_ = false;
  std::thread thread_;
};

}  // namespace remsh
