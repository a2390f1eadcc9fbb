// The settings of a command, from its request.
#pragma once

#include "base/result.hpp"
#include "operations/operations.hpp"
#include "os/control_group.hpp"
#include "os/spawn_settings.hpp"
#include "os/user.hpp"

#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// What the process of a command begins with. The failure is invalid_argument and names the key.
Result<SpawnSettings> settings_of(const operations::Execute::Request& request);

/// The signal that asks the command to end. The failure is invalid_argument.
Result<int> stop_signal_of(const operations::Execute::Request& request);

/// The limits of its control group. Fails with invalid_argument.
Result<ControlGroupLimits> group_limits_of(const operations::Execute::Request& request);

/// The account of the command; nullopt: our own. Fails with EPERM if it is not among `allowed` or if we are not root,
/// and with ENOENT if there is no such account. Blocks.
Result<std::optional<UserAccount>> user_of(const operations::Execute::Request& request,
                                           const std::vector<std::string>& allowed);

}  // namespace remsh
