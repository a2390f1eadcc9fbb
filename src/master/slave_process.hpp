// SlaveProcess: a program that we started to be a slave.
#pragma once

#include "base/result.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/master/start_options.hpp>

#include <csignal>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

/// The program to start as a slave, and its environment, as users give them in options.
struct SlaveCommand {
  std::vector<std::string> args = {};  ///< empty: "remsh-slave", found on the PATH
  bool embedded = false;               ///< start this very program instead
  std::map<Bytes, std::optional<Bytes>> env = {};
  bool clear_env = false;
  bool inherit_env = false;
  std::vector<Bytes> options = {};  ///< of remsh-slave, of the one slave: set by command_for()
};

/// Throws Error, about `slave` if it has a name, for options that exclude each other and bad names of variables.
void check_slave_command(const SlaveCommand& command, const std::string& operation, const std::string& slave = {});

/// The command for one slave. Throws Error, about `operation`, for invalid options.
SlaveCommand command_for(const SlaveCommand& command, const StartOptions& options, const std::string& basedir,
                         const std::string& operation);

/// Marks a failure as one of our own system, not of a slave's.
Failure of_this_system(Failure failure);

/// The variables of our own environment that a started program gets, apart from LC_*.
std::span<const std::string_view> variables_passed_on() noexcept;

/// The environment of a started program, made from that of this program.
std::vector<Bytes> slave_environment(const SlaveCommand& command, const std::vector<Bytes>& ours);

/// Options of remsh-slave ("--name=VALUE") in a form that no shell changes, however many of them pass the arguments on:
/// ssh, for example, joins its arguments with spaces and passes them to a shell. If a value needs it,
/// "--percent-encoded" is put first, and special bytes of values are written as %XX.
std::vector<Bytes> shell_proof(const std::vector<Bytes>& options);

/// A program that was started as a slave. One thread at a time. The destructor kills a program that was not reaped.
class SlaveProcess {
 public:
  /// Starts the program with additional options. The descriptors are borrowed.
  static Result<SlaveProcess> start(const SlaveCommand& command, const std::vector<Bytes>& options, int in, int out,
                                    int err);

  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

  /// Becomes readable when the program has ended.
  [[nodiscard]] int exit_descriptor() const noexcept { return process_.exit_descriptor(); }

  /// For a TreeKiller: the program and everything that it started. It must not be reaped while a killer uses this.
  [[nodiscard]] ProcessTree tree() const { return {process_.pid(), marker_}; }

  /// Sends SIGKILL to its process group.
  void kill_group() noexcept { process_.signal_group(SIGKILL); }

  /// How a program has ended.
  struct End {
    std::string how = "how its process ended is not known";
    std::string hint = {};          ///< where to look for the cause, for a program that should have stayed
    bool is_orderly = false;        ///< it ended by itself, as a slave does after it has ended its commands
    bool cannot_work_here = false;  ///< the exit code for, mostly, a bad base directory
  };

  /// How the program has ended. Does not reap it.
  [[nodiscard]] End end() const;

  /// Reaps the program. False if it is still running.
  bool reap();

  [[nodiscard]] bool has_ended() const noexcept { return process_.has_ended(); }

  /// Gives up a program that cannot be killed.
  void abandon() noexcept { process_.abandon(); }

 private:
  SlaveProcess(Process process, Bytes marker, bool embedded)
      : process_(std::move(process)), marker_(std::move(marker)), embedded_(embedded) {}

  Process process_;
  Bytes marker_;  // in the environment of everything that it starts
  bool embedded_ = false;
};

}  // namespace remsh
