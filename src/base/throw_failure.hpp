// The conversion of a Failure to an exception.
#pragma once

#include "base/result.hpp"

#include <string>

namespace remsh {

/// Throws the subclass of Error that belongs to the code: Timeout, Cancelled, ConnectionLost, AuthError, ProtocolError;
/// Error itself for the others.
[[noreturn]] void throw_failure(const Failure& failure, std::string slave, std::string operation);

}  // namespace remsh
