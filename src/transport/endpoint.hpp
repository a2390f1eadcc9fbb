// Listening and accepting for TCP and unix sockets. Connecting is in transport/connect.hpp.
//
// Every descriptor made here is close-on-exec from its creation.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace remsh {

/// Makes a listening TCP socket, non-blocking. `port` 0: the system picks one, see local_port(). Fails with in_use if
/// the port is taken. `family`: AF_INET or AF_INET6 if only one counts.
Result<UniqueFd> listen_tcp(const std::string& host, std::uint16_t port, int backlog, int family = AF_UNSPEC);

/// Identifies the file of a unix socket, so that no other file is removed in its place.
struct SocketFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
};

struct UnixListening {
  UniqueFd socket;
  SocketFile file;
};

/// Makes a listening unix socket, non-blocking. Its file has this mode before anybody can connect: the right to write
/// is the right to connect. A stale socket file, without a listener, is replaced. Fails with in_use if the socket is in
/// use or another kind of file has that name. An abstract name has no file, and no mode.
Result<UnixListening> listen_unix(const std::string& path, int backlog, mode_t mode = S_IRUSR | S_IWUSR);

/// Removes the file of a socket, if it is still the same file.
void remove_socket_file(const SocketFile& file) noexcept;

/// A connection, or an errno value: EAGAIN if none is waiting. Connections that are already gone are skipped.
struct Accepted {
  UniqueFd socket;
  int error = 0;
};
Accepted accept_one(int listening) noexcept;

/// How the system detects a dead peer on a network; 0 keeps the system's default.
struct TcpOptions {
  bool keepalive = true;
  std::chrono::seconds keepalive_idle{0};     ///< silence before the first probe
  std::chrono::milliseconds user_timeout{0};  ///< how long sent data may stay unacknowledged
};
void set_tcp_options(int socket, const TcpOptions& options) noexcept;

/// The user and the group on the other side of a unix socket, at the time of connecting.
struct UnixPeer {
  uid_t user = 0;
  gid_t group = 0;
};
Result<UnixPeer> peer_of_unix(int socket);

/// The other side in words: "tcp 127.0.0.1:40112", "unix pid 4242".
std::string describe_peer(int socket);

/// True for unix sockets and for TCP on the loopback, where no other host is involved.
bool is_to_this_host(int socket) noexcept;

/// True if only processes of this host can connect to a listening socket: a unix socket, or one of TCP on the loopback.
bool listens_to_this_host(int socket) noexcept;

/// The address of a TCP socket of this process in numbers: "127.0.0.1:9876".
std::string local_address(int socket);

/// The port of a TCP socket of this process; 0 if it has none.
std::uint16_t local_port(int socket) noexcept;

}  // namespace remsh
