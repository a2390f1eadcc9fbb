// StrangerLimits: limits for unauthenticated connections.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace remsh {

/// Limits for unauthenticated connections. The limits on their time and their total number are options of the listener
/// itself: handshake_timeout, max_handshakes.
struct StrangerLimits {
  std::size_t per_address = 8;  ///< connections at once from one address, or one IPv6 /64
  std::size_t per_user = 64;    ///< connections at once from one user of this host, on a unix socket

  /// After a failed proof, the address is blocked for this long, for twice as long after the next one, and so on.
  std::chrono::milliseconds first_penalty{5000};
  std::chrono::milliseconds longest_penalty{600000};

  /// Addresses that many slaves share, for example behind NAT: "192.0.2.7", "10.0.0.0/8". They have no limits per
  /// address and no penalties; neither has the loopback.
  std::vector<std::string> shared_addresses = {};
};

}  // namespace remsh
