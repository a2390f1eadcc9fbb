// The limits of setrlimit() by name. Messages and requests carry the names, because the numbers differ between systems.
#pragma once

#include "base/result.hpp"
#include "os/spawn_settings.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh {

/// Reads a limit: NAME=SOFT or NAME=SOFT:HARD, numbers or `unlimited`. The failure is invalid_argument.
Result<LimitSetting> resource_limit_setting(BytesView text);

}  // namespace remsh
