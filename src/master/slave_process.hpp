// SlaveProcess: a program that we started to be a slave.
#pragma once

#include "base/result.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

/// Which program is to be a slave, as users say it in options.
struct SlaveCommand {
  std::vector<std::string> args = {};  ///< empty: "remsh-slave", found on the PATH
  bool embedded = false;               ///< this very program instead
};

/// Refuses what excludes each other: throws Error.
void check_slave_command(const SlaveCommand& command, const char* operation);

/// Refuses what is no name of a slave: throws Error.
void check_slave_name(const std::string& name);

/// A program that we started to be a slave. One thread at a time, except that wait_for_end() may be called beside
/// anything but the destructor, which kills one that was not ended.
class SlaveProcess {
 public:
  /// Starts it with more arguments, in our environment. The descriptors are borrowed.
  static Result<SlaveProcess> start(const SlaveCommand& command, const std::vector<std::string>& more, int in, int out,
                                    int err);

  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

  /// Becomes readable when it has ended.
  [[nodiscard]] int exit_descriptor() const noexcept { return process_.exit_descriptor(); }

  /// True where it has ended before the time is over.
  bool wait_for_end(std::chrono::milliseconds limit) const;

  /// Kills it with all that it started, and waits until nothing of that lives, if need be as long as `patience`. Nobody
  /// may reap it meanwhile.
  void terminate(TreeKiller& killer, std::chrono::milliseconds patience);

  /// SIGKILL for its process group.
  void kill() noexcept;

  /// How one that has ended did, and what to do about one that was to stay: after a semicolon, or empty. Reaps it.
  struct End {
    std::string how;
    std::string hint;
  };
  End take_end();

 private:
  SlaveProcess(Process process, Bytes marker, bool embedded)
      : process_(std::move(process)), marker_(std::move(marker)), embedded_(embedded) {}

  Process process_;
  Bytes marker_;  // by which what it starts is known as well
  bool embedded_ = false;
};

}  // namespace remsh
