// The operations on directories and names: set_cwd, getenv, info, mkdir, remove, rename, copy, stat.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <sys/types.h>

#include <memory>

namespace remsh {

/// Adds them, for sessions of this workplace. The environment that getenv tells is the one of this moment.
/// docs/protocol.md section 7. Directories that are made get no other permission bits than those of `mode_mask`.
void add_filesystem(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, mode_t mode_mask = 07777);

}  // namespace remsh
