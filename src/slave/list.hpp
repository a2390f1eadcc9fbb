// The operation list: the entries of a directory.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <memory>

namespace remsh {

/// Adds the operation, for sessions of this workplace. docs/protocol.md section 7.
void add_list(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace);

}  // namespace remsh
