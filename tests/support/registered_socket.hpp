// The slave's side of a registration, on a bare socket.
#pragma once

#include "auth/slave_handshake.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

namespace remsh::test {

/// Registers and does nothing else, which costs this process no thread and no memory. False if it is refused.
inline bool try_to_register_on(int socket, const std::string& name) {
  using Action = auth::SlaveHandshake::Step::Action;
  auth::SlaveHandshake::Options options;
  options.registration = {.name = name,
                          .hostname = "worker.example.org",
                          .system = "linux",
                          .software = "remsh-slave 0.1.0",
                          .basedir = "/srv/workers/one"};
  options.nonce = Bytes(auth::nonce_size, 'n');
  auth::SlaveHandshake handshake(std::move(options));
  Bytes bytes = handshake.start();
  for (;;) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;  // the master has closed the connection
    REQUIRE(sent == static_cast<ssize_t>(bytes.size()));
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(socket, buffer.data(), buffer.size());
    if (got <= 0) return false;
    auto step = handshake.feed(BytesView(buffer.data(), static_cast<std::size_t>(got)));
    if (step.action != Action::send) return step.action == Action::open;
    bytes = std::move(step.bytes);
  }
}

inline void register_on(int socket, const std::string& name) { REQUIRE(try_to_register_on(socket, name)); }

}  // namespace remsh::test
