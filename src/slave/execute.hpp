// execute: commands of this machine, relayed between their pipes and their callers.
#pragma once

#include "operations/operations.hpp"
#include "rpc/served_call.hpp"
#include "slave/command_hook.hpp"
#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/log.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace remsh {

/// All commands that a slave runs, on any of its connections. Thread-safe.
///
/// A command is started by a server thread and then belongs to the loop, which relays its output, input and end without
/// a thread per command. Process trees are ended on one more thread, which all sets of this process share. A caller
/// that takes no output blocks only its own command, whose pipe is full.
///
/// Processes that a command left in the background when it ended by itself live on until the set is stopped. Then they
/// are ended as the commands are.
class CommandSet {
 public:
  /// How long output may stay open after a command has ended, before the processes that hold it count as background.
  static constexpr Duration default_grace = std::chrono::seconds(1);

  /// Commands get the environment that this process has now. The loop must run until stop() has returned. The log hook
  /// is called on it, and on the threads of hooks. `users`: the accounts, besides our own, as which commands may run.
  explicit CommandSet(std::shared_ptr<Loop> loop, Duration background_grace = default_grace, LogHook log = {},
                      CommandHooks hooks = {}, std::vector<std::string> users = {});
  CommandSet(const CommandSet&) = delete;
  CommandSet& operator=(const CommandSet&) = delete;

  /// Calls stop().
  ~CommandSet();

  /// Starts a command. It answers the call when the command has ended, or could not be started.
  void execute(operations::Execute::Request request, const std::shared_ptr<rpc::ServedCall>& call,
               const Workplace& workplace);

  /// The time between the stop signal and SIGKILL, and from there until what cannot be killed is given up, if no caller
  /// waits any more: the connection was lost, or the set is stopped. A command with a shorter `kill_after` gets less.
  static constexpr Duration farewell = std::chrono::seconds(5);

  /// Begins to end all commands as if they were cancelled, and what earlier ones left behind. New commands are refused.
  /// Returns at once.
  void begin_stop();

  /// Calls begin_stop(), and waits until nothing is left, for about two times `farewell` at most, and with a hook after
  /// the commands for its time limit more. Never on the loop.
  void stop();

  /// The number of commands.
  [[nodiscard]] std::size_t size() const;

 private:
  class Command;
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

/// Registers `interrupt` and `signal`, which the commands of the same connection serve.
void add_requests_to_commands(Dispatcher& dispatcher);

/// Registers `execute` for one session, with what may be asked of its commands: relative directories begin in its
/// workplace. `may_read_files`: commands may have log files.
void add_execute(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, std::shared_ptr<CommandSet> commands,
                 bool may_read_files = true);

}  // namespace remsh
