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

/// Looks a name up. It may block for any time, and may still run after the look_up() that called it has returned: it
/// must own what it uses.
using LookUp = std::function<Result<AddressList>(const Address&)>;

/// How often a caller that is connecting checks for a stop.
inline constexpr std::chrono::milliseconds look_interval{20};

/// getaddrinfo(3) with these flags. Blocks; it takes up to a minute if the name server does not answer.
Result<AddressList> ask_system(const Address& address, int flags = 0);

/// The maximum of look-ups that run in the process at the same time, including abandoned ones.
inline constexpr unsigned max_look_ups = 16;

/// The addresses of a tcp or tls address. Blocks until they are known, until the deadline (timeout), or until a stop
/// (cancelled). A number needs no look-up. A name is looked up in a thread of its own, which is abandoned after the
/// deadline and after a stop: docs/decisions/0018.
Result<AddressList> look_up(
    const Address& address, Deadline deadline, const std::stop_token& stop,
    const LookUp& by = [](const Address& name) { return ask_system(name); });

}  // namespace remsh
