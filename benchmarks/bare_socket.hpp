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

/// A connected socket without delay, which blocks. It comes from another address of the loopback for each `from_host`,
/// as one has ports for 28,000 connections only.
UniqueFd connect_to_loopback(std::uint16_t port, std::uint32_t from_host = 0);

/// Closing the socket then ends the connection at once, and no trace of it stays in the system.
void reset_when_closed(int socket) noexcept;

}  // namespace remsh::bench
