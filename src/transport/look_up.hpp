// Looking up host names, within a deadline.
#pragma once

#include "base/result.hpp"
#include "transport/address.hpp"
#include "transport/socket_address.hpp"

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <functional>
#include <stop_token>
#include <vector>

namespace remsh {

/// The addresses of a host, in the order in which the system prefers them.
using AddressList = std::vector<SocketAddress>;

/// How a name is looked up. It may block for as long as it likes, and may still run when the look_up() that called it
/// has returned: it must own what it uses.
using LookUp = std::function<Result<AddressList>(const Address&)>;

/// How often a caller that waits to be connected looks for a stop.
inline constexpr std::chrono::milliseconds look_interval{20};

/// getaddrinfo(3) with these flags. Blocks; a name server that does not answer makes it take up to a minute.
Result<AddressList> ask_system(const Address& address, int flags = 0);

/// At most this many look-ups run in the process at the same time, those that were given up included.
inline constexpr unsigned max_look_ups = 16;

/// The addresses of a host (of tcp and tls). Blocks until they are known, until the deadline (timeout), or until a stop
/// (cancelled). A number is never looked up; a name is, on a thread of its own, which is left to itself after the
/// deadline and after a stop: docs/decisions/0018.
Result<AddressList> look_up(
    const Address& address, Deadline deadline, const std::stop_token& stop,
    const LookUp& by = [](const Address& name) { return ask_system(name); });

}  // namespace remsh
