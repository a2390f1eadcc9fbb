// The operations that move a file's content: send and fetch.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <memory>

namespace remsh {

/// Adds them, for sessions of this workplace. docs/protocol.md section 7.
void add_transfer(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace);

}  // namespace remsh
