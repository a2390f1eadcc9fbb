// Transports over existing descriptors.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/transport/transport.hpp>

#include <memory>
#include <string>

namespace remsh {

/// A transport over a connected stream socket, which it owns and closes. `inherited`: the process at the other end is
/// known to be the peer (a socket pair).
REMSH_API std::unique_ptr<Transport> socket_transport(int socket, std::string description, bool inherited = false);

/// A transport over a pair of descriptors, pipes for example, which it owns and closes. Their flags are not changed,
/// because other processes may share them. Throws Error if one of them cannot be polled (a regular file).
REMSH_API std::unique_ptr<Transport> pipe_transport(int read_from, int write_to, std::string description);

}  // namespace remsh
