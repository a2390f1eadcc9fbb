// A test over each kind of socket that a slave may have.
#pragma once

#include "support/peer_pair.hpp"
#include "unit/transport/transports.hpp"

#include <functional>

namespace remsh::test {

inline TransportPair tcp_sockets() {
  auto [one, other] = tcp_pair();
  return {socket_transport(one.release(), "tcp 0"), socket_transport(other.release(), "tcp 1")};
}

/// Runs a test over a socket pair, over TCP, and under TLS.
inline void over_each_socket(const std::function<void(const std::function<TransportPair()>&)>& test) {
  test(socket_pair);
  test(tcp_sockets);
  test([] { return with_tls(tcp_sockets()); });
}

}  // namespace remsh::test
