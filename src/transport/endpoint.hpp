// Listening and accepting for TCP and unix sockets. Connecting is in transport/connect.hpp.
//
// Every descriptor made here is closed by exec from its birth.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace remsh {

/// A socket that listens, non-blocking. `port` 0: the system picks one, see local_port(). A taken one is in_use.
Result<UniqueFd> listen_tcp(const std::string& host, std::uint16_t port, int backlog);

/// Which file a unix socket has, so that no other file is removed in its place.
struct SocketFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
};

struct UnixListening {
  UniqueFd socket;
  SocketFile file;
};

/// A unix socket that listens, non-blocking. Its file has mode 0600 before anybody can connect. A stale one, to which
/// nobody listens, is replaced; one that is in use is in_use, and anything else of that name is left alone.
Result<UnixListening> listen_unix(const std::string& path, int backlog);

/// Removes a socket's file, if it is still that one.
void remove_socket_file(const SocketFile& file) noexcept;

/// A connection, or an errno value: EAGAIN if none waits. Connections that are gone already are passed over.
struct Accepted {
  UniqueFd socket;
  int error = 0;
};
Accepted accept_one(int listening) noexcept;

/// How the system notices a dead peer on a network; times of 0 leave the system's own.
struct TcpOptions {
  bool keepalive = true;
  std::chrono::seconds keepalive_idle{0};     ///< silence before the first probe
  std::chrono::milliseconds user_timeout{0};  ///< how long sent data may stay unacknowledged
};
void set_tcp_options(int socket, const TcpOptions& options) noexcept;

/// The user on the other side of a unix socket, as it connected.
Result<uid_t> peer_of_unix(int socket);

/// The other side in words: "tcp 127.0.0.1:40112", "unix pid 4242".
std::string describe_peer(int socket);

/// True for a unix socket and for TCP on the loopback: nobody on a network sits on the other side or in between.
bool is_to_this_host(int socket) noexcept;

/// The port of a TCP socket of this process; 0 if it has none.
std::uint16_t local_port(int socket) noexcept;

}  // namespace remsh
