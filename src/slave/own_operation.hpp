// own_operation_handler: the handler of an operation of the owner's own.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <remsh/slave/operation_context.hpp>

#include <memory>

namespace remsh {

/// Has a call done by an operation of the owner's own, in the directory that the call asks for. Blocks until it
/// returns; what it throws comes out, for run_guarded().
void run_own_operation(const Operation& operation, const std::shared_ptr<rpc::ServedCall>& call,
                       const Workplace& workplace);

}  // namespace remsh
