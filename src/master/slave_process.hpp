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

/// Which program is to be a slave and in which environment, as users say it in options.
struct SlaveCommand {
  std::vector<std::string> args = {};  ///< empty: "remsh-slave", found on the PATH
  bool embedded = false;               ///< this very program instead
  std::map<Bytes, std::optional<Bytes>> env = {};
  bool clear_env = false;
  bool inherit_env = false;
};

/// Refuses options that exclude each other, and bad names of variables: throws Error, of `slave` if it has a name.
void check_slave_command(const SlaveCommand& command, const std::string& operation, const std::string& slave = {});

/// The command for one slave; refuses options that are wrong: throws Error, with the name of `operation`.
SlaveCommand command_for(const SlaveCommand& command, const StartOptions& options, const std::string& basedir,
                         const std::string& operation);

/// A failure that is our own system's, not a slave's.
Failure of_this_system(Failure failure);

/// The variables of our own environment that a started program gets, beside LC_*.
std::span<const std::string_view> variables_passed_on() noexcept;

/// The environment of a started program, made from that of this program.
std::vector<Bytes> slave_environment(const SlaveCommand& command, const std::vector<Bytes>& ours);

/// Options of remsh-slave ("--name=VALUE") in a form that no shell changes, however many of them pass the arguments on:
/// ssh, for one, joins its arguments with spaces and gives them to a shell. If a value needs it, "--percent-encoded" is
/// put first, and the other bytes of values are written as %XX.
std::vector<Bytes> shell_proof(const std::vector<Bytes>& options);

/// A program that we started to be a slave. One thread at a time; the destructor kills one that was not reaped.
class SlaveProcess {
 public:
  /// Starts it with more options. The descriptors are borrowed.
  static Result<SlaveProcess> start(const SlaveCommand& command, const std::vector<Bytes>& options, int in, int out,
                                    int err);

  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

  /// Becomes readable when it has ended.
  [[nodiscard]] int exit_descriptor() const noexcept { return process_.exit_descriptor(); }

  /// For a TreeKiller: it and all that it started. Must not be reaped while a killer uses this.
  [[nodiscard]] ProcessTree tree() const { return {process_.pid(), marker_}; }

  /// SIGKILL for its process group.
  void kill_group() noexcept { process_.signal_group(SIGKILL); }

  /// How a program that has ended did so.
  struct End {
    std::string how = "how its process ended is not known";
    std::string hint = {};          ///< what to look at, for a program that should have stayed
    bool is_orderly = false;        ///< by itself as a slave does, which has ended its commands then
    bool cannot_work_here = false;  ///< the exit code of a slave for, above all, a bad base directory
  };

  /// Looks at one that has ended and does not reap it.
  [[nodiscard]] End end() const;

  /// Takes it from the system's list; true unless it still runs.
  bool reap();

  [[nodiscard]] bool has_ended() const noexcept { return process_.has_ended(); }

  /// Lets go of one that cannot be killed.
  void abandon() noexcept { process_.abandon(); }

 private:
  SlaveProcess(Process process, Bytes marker, bool embedded)
      : process_(std::move(process)), marker_(std::move(marker)), embedded_(embedded) {}

  Process process_;
  Bytes marker_;  // in the environment of all that it starts
  bool embedded_ = false;
};

}  // namespace remsh
