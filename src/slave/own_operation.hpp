// Operations of the slave's owner.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <remsh/slave/operation_context.hpp>

#include <memory>

namespace remsh {

/// Executes a call of an operation of the slave's owner, in the directory that the call asks for. Blocks until it
/// returns. Passes its exceptions on, to run_guarded().
void run_own_operation(const Operation& operation, const std::shared_ptr<rpc::ServedCall>& call,
                       const Workplace& workplace);

}  // namespace remsh
