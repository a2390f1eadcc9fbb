// The operations that move a directory tree: send_tree and fetch_tree.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <memory>

namespace remsh {

/// Adds these operations, for sessions of this workplace. docs/protocol.md section 7.
void add_tree_transfer(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace);

}  // namespace remsh
