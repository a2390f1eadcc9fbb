// The operations that move a file's content: send and fetch.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <sys/types.h>

#include <memory>

namespace remsh {

/// Adds these operations, for sessions of this workplace. docs/protocol.md section 7. Files that are sent get only
/// permission bits of `mode_mask`.
void add_transfer(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, mode_t mode_mask = 07777);

}  // namespace remsh
