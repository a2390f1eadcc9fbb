#include "bare_socket.hpp"

#include "machine.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace remsh::bench {

namespace {

/// Loopback has 2^24 addresses, which begin at 127.0.0.1.
sockaddr_in loopback(std::uint16_t port, std::uint32_t host = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
  return address;
}

}  // namespace

void set_no_delay(int socket) noexcept {
  const int one = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

ListeningSocket listen_on_loopback(int backlog) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(socket.get(), backlog) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("a listening socket");
  }
  return {std::move(socket), ntohs(address.sin_port)};
}

UniqueFd connect_to_loopback(std::uint16_t port, std::uint32_t from_host) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  if (from_host != 0) {
    const int one = 1;
    const sockaddr_in from = loopback(0, from_host);
    if (::setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
      fail("bind");
    }
  }
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("connect");
  }
  set_no_delay(socket.get());
  return socket;
}

void reset_when_closed(int socket) noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace remsh::bench
