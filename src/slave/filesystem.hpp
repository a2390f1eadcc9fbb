// The operations on directories and names: set_cwd, getenv, info, mkdir, remove, rename, copy, stat.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <sys/types.h>

#include <memory>

namespace remsh {

/// Adds these operations, for sessions of this workplace. getenv returns the environment of the moment of this call.
/// docs/protocol.md section 7. New directories get only permission bits of `mode_mask`.
void add_filesystem(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, mode_t mode_mask = 07777);

}  // namespace remsh
