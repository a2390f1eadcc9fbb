// TCP sockets on the loopback, made by system calls alone.
#pragma once

#include "os/unique_fd.hpp"

#include <cstdint>

namespace remsh::bench {

void set_no_delay(int socket) noexcept;

struct ListeningSocket {
  UniqueFd socket;
  std::uint16_t port;
};

/// A listening socket at a free port, which does not block.
ListeningSocket listen_on_loopback(int backlog);

/// A connected socket without delay, which blocks.
UniqueFd connect_to_loopback(std::uint16_t port);

/// Closing the socket then ends the connection at once, and no trace of it stays in the system.
void reset_when_closed(int socket) noexcept;

}  // namespace remsh::bench
