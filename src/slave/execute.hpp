// execute: commands of this machine, relayed between their pipes and their callers.
#pragma once

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
/// without a thread of its own; trees of processes are ended on one further thread, since that may take long.
/// A caller that takes no output stops its own command, by the full pipe, and nothing else.
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

  /// Starts the command of an execute call. It answers the call when it has ended, or was not started.
  void execute(const std::shared_ptr<rpc::ServedCall>& call, const Workplace& workplace);

  /// Ends all commands as if they were cancelled, and waits until nothing is left of them; new ones are refused. Those
  /// that cannot be killed are given up. Never on the loop.
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
