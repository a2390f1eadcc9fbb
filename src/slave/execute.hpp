// execute: commands of this machine, relayed between their pipes and their callers.
#pragma once

#include "operations/operations.hpp"
#include "rpc/served_call.hpp"
#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <memory>

namespace remsh {

/// All commands that a slave runs, on any of its connections. Thread-safe.
///
/// A command is started by a server thread and then belongs to the loop, which relays its output, input and end
/// without a thread of its own; trees of processes are ended on one further thread that all sets of this process share.
/// A caller that takes no output stops its own command, by the full pipe, and nothing else.
///
/// What a command that ended by itself leaves in the background lives on until the set is stopped, and is ended then
/// as the commands are.
class CommandSet {
 public:
  /// How long output may stay open behind a command that has ended, before those who hold it count as background.
  static constexpr Duration default_grace = std::chrono::seconds(1);

  /// Commands get the environment that this process has now. The loop must run until stop() has returned.
  explicit CommandSet(std::shared_ptr<Loop> loop, Duration background_grace = default_grace);
  CommandSet(const CommandSet&) = delete;
  CommandSet& operator=(const CommandSet&) = delete;

  /// Stops.
  ~CommandSet();

  /// Starts a command. It answers the call when it has ended, or was not started.
  void execute(operations::Execute::Request request, const std::shared_ptr<rpc::ServedCall>& call,
               const Workplace& workplace);

  /// Between SIGTERM and SIGKILL, and from there until what cannot be killed is given up, when nobody waits any more:
  /// the connection was lost, or the set is stopped. A command with a shorter `kill_after` has less.
  static constexpr Duration farewell = std::chrono::seconds(5);

  /// Begins to end all commands as if they were cancelled, with what earlier ones left behind; new ones are refused.
  /// Returns at once.
  void begin_stop();

  /// Both: begins, and waits until nothing is left, at most for two times `farewell`. Never on the loop.
  void stop();

  /// How many commands there are.
  [[nodiscard]] std::size_t size() const;

 private:
  class Command;
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

/// Registers `execute` for one session: relative directories begin in its workplace.
void add_execute(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, std::shared_ptr<CommandSet> commands);

}  // namespace remsh
