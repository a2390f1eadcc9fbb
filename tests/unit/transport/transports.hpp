// Every kind of transport there is, as pairs, for tests that hold for all of them.
#pragma once

#include "os/unique_fd.hpp"
#include "support/tls.hpp"
#include "transport/address.hpp"
#include "transport/connect.hpp"
#include "transport/endpoint.hpp"

#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/memory.hpp>
#include <remsh/transport/transport.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

using TransportPair = std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>>;

inline std::pair<UniqueFd, UniqueFd> descriptor_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) throw std::runtime_error("socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// The end to read from first.
inline std::pair<UniqueFd, UniqueFd> pipe_ends() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline std::pair<UniqueFd, UniqueFd> tcp_pair() {
  const UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 1)).value();
  UniqueFd caller =
      std::move(connect_to({Address::Kind::tcp, "127.0.0.1", local_port(listening.get()), {}}, Deadline())).value();
  return {std::move(caller), std::move(accept_one(listening.get()).socket)};
}

struct TransportKind {
  const char* name;
  TransportPair (*make)();
};

inline TransportPair make_tcp() {
  auto [a, b] = tcp_pair();
  const int small = 64 * 1024;  // full before a test has sent all it has
  for (const UniqueFd* fd : {&a, &b}) {
    ::setsockopt(fd->get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    ::setsockopt(fd->get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  return {socket_transport(a.release(), "tcp"), socket_transport(b.release(), "tcp")};
}

inline TransportPair make_unix() {
  auto [a, b] = descriptor_pair();
  return {socket_transport(a.release(), "unix", true), socket_transport(b.release(), "unix", true)};
}

/// A socket that somebody has made non-blocking.
inline TransportPair make_non_blocking() {
  auto [a, b] = descriptor_pair();
  ::fcntl(a.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(b.get(), F_SETFL, O_NONBLOCK);
  return {socket_transport(a.release(), "unix", true), socket_transport(b.release(), "unix", true)};
}

inline TransportPair make_pipes() {
  auto [read_a, write_b] = pipe_ends();
  auto [read_b, write_a] = pipe_ends();
  return {pipe_transport(read_a.release(), write_a.release(), "pipes"),
          pipe_transport(read_b.release(), write_b.release(), "pipes")};
}

/// Pipes that cannot be opened again, as those of another user; for root only, else they are like all pipes.
inline TransportPair make_borrowed_pipes() {
  auto [read_a, write_b] = pipe_ends();
  auto [read_b, write_a] = pipe_ends();
  const bool is_root = ::geteuid() == 0;
  if (is_root && ::seteuid(65534) != 0) throw std::runtime_error("seteuid");
  TransportPair pair{pipe_transport(read_a.release(), write_a.release(), "borrowed"),
                     pipe_transport(read_b.release(), write_b.release(), "borrowed")};
  if (is_root && ::seteuid(0) != 0) throw std::runtime_error("seteuid");
  return pair;
}

/// A socket in place of two pipes, as stdio may be: one number, and two.
inline TransportPair make_sockets_as_pipes() {
  auto [a, b] = descriptor_pair();
  const int other_b = ::fcntl(b.get(), F_DUPFD_CLOEXEC, 0);
  const int one_a = a.release();
  return {pipe_transport(one_a, one_a, "socket"), pipe_transport(b.release(), other_b, "socket")};
}

inline TransportPair make_memory() { return memory_pair(); }

inline TransportPair make_tls_tcp() { return with_tls(make_tcp()); }
inline TransportPair make_tls_unix() { return with_tls(make_unix()); }
inline TransportPair make_tls_pipes() { return with_tls(make_pipes()); }
inline TransportPair make_tls_memory() { return with_tls(make_memory()); }

inline std::vector<TransportKind> transport_kinds() {
  return {{"tcp", make_tcp},
          {"unix", make_unix},
          {"non-blocking socket", make_non_blocking},
          {"pipes", make_pipes},
          {"borrowed pipes", make_borrowed_pipes},
          {"sockets as pipes", make_sockets_as_pipes},
          {"memory", make_memory},
          {"tls over tcp", make_tls_tcp},
          {"tls over unix", make_tls_unix},
          {"tls over pipes", make_tls_pipes},
          {"tls over memory", make_tls_memory}};
}

/// Runs a test body on a new pair of each kind.
template <class Body>
void for_each_transport(const Body& body) {
  for (const TransportKind& kind : transport_kinds()) {
    const std::string name = kind.name;
    CAPTURE(name);
    TransportPair pair = kind.make();
    body(std::move(pair.first), std::move(pair.second));
  }
}

}  // namespace remsh::test
