// Hooks of commands: programs of the slave's owner that run before and after each command.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/slave/slave_server.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace remsh {

/// The hooks of a slave. Their paths are absolute.
struct CommandHooks {
  /// Makes the paths absolute, from the current directory.
  static CommandHooks of(const SlaveOptions& options);

  std::string before = {};  ///< empty: none
  std::string after = {};
  std::chrono::milliseconds limit{0};
  std::string slave = {};  ///< its name, if the options give it
};

/// What a hook is about.
struct HookedCommand {
  std::vector<Bytes> args;
  Bytes cwd;           ///< the path of its directory
  Bytes user;          ///< as which it runs; empty: the slave's
  int directory = -1;  ///< the directory, open
};

/// Words as a shell reads them: each in single quotes, with blanks between them.
Bytes quoted_for_shell(const std::vector<Bytes>& words);

/// Runs a hook in the directory of its command, and waits until it has ended. Kills it, with its process group, after
/// the time limit, and when `is_unwanted` returns true. Fails if it does not exit with 0, with what it has written.
/// `environment`: that of the slave's commands. `result`: how the command ended; empty for the hook before it.
Result<void> run_command_hook(const CommandHooks& hooks, const HookedCommand& command,
                              const std::vector<Bytes>& environment, const std::string& result,
                              const std::function<bool()>& is_unwanted);

}  // namespace remsh
