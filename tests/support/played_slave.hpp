// Slaves that a test plays itself, box by box.
#pragma once

#include "support/slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/connection.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace remsh::test {

/// A socket that is connected to a port of this host.
inline int connect_to_port(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket);
    return -1;
  }
  return socket;
}

/// Registers a slave that the test plays from then on.
inline std::unique_ptr<Connection> register_by_hand(std::unique_ptr<Transport> transport, const Bytes& name) {
  auto connection =
      std::make_unique<Connection>(std::move(transport), BoxLimits{.bytes = 16 * 1024 * 1024, .fields = 1024});
  connection->send_box({{"_ask", "1"},
                        {"_command", "hello"},
                        {"features", ""},
                        {"name", name},
                        {"nonce", Bytes(32, 'a')},
                        {"versions", "2"}});
  REQUIRE(connection->read_box(ample));
  connection->send_box({{"_ask", "2"}, {"_command", "prove"}});
  const auto welcome = connection->read_box(ample);
  REQUIRE(welcome);
  REQUIRE(welcome->has("keepalive"));
  return connection;
}

}  // namespace remsh::test
