// StartOptions: how one slave is started.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// How long a started slave may take to come if nothing else is said.
inline constexpr std::chrono::seconds launch_limit{60};

/// How a LocalSlaveListener or a SlaveLauncher starts one slave.
struct StartOptions {
  std::string name = {};  ///< empty: "local-1", "launched-1" and so on

  /// What filters see of it: SlaveInfo::labels, in the form of KeyTerms::labels.
  std::map<std::string, std::string> labels = {};

  /// Changes to the environment that the listener or the launcher gives to the slaves that it starts; nullopt: unset.
  std::map<Bytes, std::optional<Bytes>> env = {};

  CallDeadline deadline = launch_limit;  ///< until it has registered and its setup() has returned
  std::stop_token stop = {};             ///< ends the wait with Cancelled, and the program
};

}  // namespace remsh
