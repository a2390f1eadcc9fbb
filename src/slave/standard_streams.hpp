// Takes the standard input and output of a slave program for its own use: commands and libraries must not read or write
// there.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/transport/transport.hpp>

#include <memory>

namespace remsh {

/// Moves standard input to another descriptor, and puts /dev/null in its place. Throws std::system_error.
UniqueFd take_standard_input();

/// Moves standard input and output into a transport. /dev/null and standard error take their places. Throws
/// std::system_error.
std::unique_ptr<Transport> take_standard_streams();

}  // namespace remsh
