// The operations on directories and names: set_cwd, getenv, info, mkdir, remove, rename, copy, stat.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <memory>

namespace remsh {

/// Adds them, for sessions of this workplace. The environment that getenv tells is the one of this moment.
/// docs/protocol.md section 7.
void add_filesystem(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace);

}  // namespace remsh
