// Connecting to an address.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"
#include "transport/address.hpp"
#include "transport/look_up.hpp"

#include <remsh/base/deadline.hpp>

#include <stop_token>

namespace remsh {

/// At most this many addresses of a host are tried.
inline constexpr std::size_t max_attempts = 32;

/// Connects. The addresses of a host name are tried as RFC 8305 says: each has a head start of 250 ms before the next
/// one is tried in parallel, and the first that answers wins. Blocks until the deadline (timeout) or a stop
/// (cancelled), including the look-up of the name. The socket is in blocking mode. A TLS address is refused: see
/// connect_tls().
Result<UniqueFd> connect_to(
    const Address& address, Deadline deadline, const std::stop_token& stop = {},
    const LookUp& by = [](const Address& name) { return ask_system(name); });

}  // namespace remsh
