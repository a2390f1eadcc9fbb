// StrangerLimits: what a listener spends on those who have not proven who they are.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace remsh {

/// What a listener spends on those who have not proven who they are. The time and the number of all of them together
/// are options of the listener itself: handshake_timeout, max_handshakes.
struct StrangerLimits {
  std::size_t per_address = 8;  ///< at once from one address, or one /64 of IPv6
  std::size_t per_user = 64;    ///< at once from one user of this host, on a unix socket

  /// After a wrong proof its address is not listened to for so long, twice as long after the next, and so on.
  std::chrono::milliseconds first_penalty{5000};
  std::chrono::milliseconds longest_penalty{600000};

  /// "192.0.2.7", "10.0.0.0/8": addresses that many slaves share, as behind NAT. They have neither limits of their own
  /// nor penalties; nor has the loopback.
  std::vector<std::string> shared_addresses = {};
};

}  // namespace remsh
