// CommandSet::Shared: what the commands of a set share. Private to CommandSet.
#pragma once

#include "base/result.hpp"
#include "connection/block.hpp"
#include "os/process_tree.hpp"
#include "slave/execute.hpp"
#include "slave/slave_log.hpp"

#include <remsh/base/bytes.hpp>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace remsh {

/// The commands of a set, what they share, and what they left in the background. Thread-safe, except `spare`.
struct CommandSet::Shared {
  Shared(std::shared_ptr<Loop> on, Duration grace, LogHook hook, CommandHooks with, std::vector<std::string> allowed);

  /// Counts the trees that are being ended although their commands are over. Shared with the killer's callbacks, which
  /// may outlive the set.
  struct Endings {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t count = 0;
  };

  /// False if the set is stopping: the command must not begin.
  bool add(const std::shared_ptr<Command>& command);
  void remove(const Command& command);

  /// What a command that is over may have left behind.
  struct Background {
    Bytes name;
    Duration kill_after;
    int stop_signal;
  };
  /// Keeps the tree of a command that is over: it is ended when the set is stopped.
  void keep_background(const Background& left);
  void end_background(const Background& left);
  [[nodiscard]] bool is_stopping() const;

  const std::shared_ptr<Loop> loop;
  const Duration background_grace;
  const SlaveLog log;
  const CommandHooks hooks;
  const std::vector<std::string> users;  // as which commands may run
  const std::vector<Bytes> environment;
  const std::shared_ptr<TreeKiller> killer = TreeKiller::of_this_process();
  const std::shared_ptr<Endings> endings = std::make_shared<Endings>();
  std::optional<Block> spare;  // loop thread only: an empty block, so that a read of no bytes allocates nothing

  mutable std::mutex mutex;  // guards the following members
  std::condition_variable changed;
  std::unordered_map<const Command*, std::shared_ptr<Command>> commands;
  std::vector<Background> background;
  bool stopping = false;
  bool is_given_up = false;  // stop() has given up waiting
};

}  // namespace remsh
