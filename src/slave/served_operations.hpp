// served_operations(): the calls that a slave executes, described as operations.
#pragma once

#include "rpc/served_calls.hpp"

#include <remsh/slave/served_operation.hpp>

#include <vector>

namespace remsh {

/// In the order in which they began.
std::vector<ServedOperation> served_operations(const rpc::ServedCalls& calls);

}  // namespace remsh
