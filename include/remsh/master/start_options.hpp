// StartOptions: how one slave is started.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// The default limit for a started slave to be set up.
inline constexpr std::chrono::seconds launch_limit{60};

/// How a LocalSlaveListener or a SlaveLauncher starts one slave.
struct StartOptions {
  std::string name = {};  ///< empty: "local-1", "launched-1" and so on

  /// The slave's labels: SlaveInfo::labels, in the form of KeyTerms::labels.
  std::map<std::string, std::string> labels = {};

  /// What the slave announces, SlaveInfo::slots and SlaveInfo::resources, in the form of SlaveOptions: reserve() can
  /// take shares of it.
  std::uint64_t slots = 1;
  std::map<std::string, std::uint64_t> resources = {};

  /// Changes to the environment that the listener or the launcher gives to its slaves; nullopt unsets a variable.
  std::map<Bytes, std::optional<Bytes>> env = {};

  CallDeadline deadline = launch_limit;  ///< for its registration and its setup()
  std::stop_token stop = {};             ///< ends the wait with Cancelled, and ends the program
};

}  // namespace remsh
