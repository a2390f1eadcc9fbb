// Listening sockets, and the properties of connections.
#include "transport/endpoint.hpp"

#include "base/format.hpp"
#include "base/os_words.hpp"
#include "os/random.hpp"
#include "transport/address.hpp"
#include "transport/look_up.hpp"
#include "transport/socket_address.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

namespace remsh {
namespace {

Failure failure(int error, const std::string& what) {
  const Errc code = error == EADDRINUSE ? Errc::in_use : Errc::local_os_error;
  std::string why = os_words(error);
  if (error == EADDRINUSE) {
    why += what.starts_with("unix:") ? "; end the program that listens there, or choose another path"
                                     : "; end the program that listens there (ss -ltnp shows it), or choose another "
                                       "port: with 0 the system does";
  }
  return {code, what + ": " + why, error};
}

// Unix sockets.

/// A new name in the directory of `path`.
std::string name_beside(const std::string& path) { return path.substr(0, path.rfind('/') + 1) + ".r" + random_hex(4); }

/// Connects to a path: returns 0 if a process listens there, or the error.
int try_to_connect(const std::string& path) noexcept {
  const UniqueFd socket = new_socket(AF_UNIX);
  const SocketAddress address = unix_address(path);
  if (!socket) return errno;
  return ::connect(socket.get(), address.get(), address.size) == 0 ? 0 : errno;
}

bool same_file(const struct stat& a, const struct stat& b) noexcept {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// Removes a temporary file.
struct Temporary {
  std::string path;
  ~Temporary() { ::unlink(path.c_str()); }
};

/// Locks the directory of a socket, to serialise the replacement of stale sockets: nobody may bind between our check
/// and our rename. It leaves no file behind. Every process that can read the directory could hold the lock, so we wait
/// for it only about a second.
UniqueFd lock_directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; lock && i < 1000 && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; ++i) {
    ::poll(nullptr, 0, 1);
  }
  return lock;
}

/// Removes the socket at `path` if no process listens to it. Another file that was moved away by mistake is put back.
Result<void> clear_stale(const std::string& path) {
  const std::string what = "unix:" + path;
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return failure(errno, what);
  }
  if (!S_ISSOCK(found.st_mode)) return Failure{Errc::in_use, what + ": is there already, and is no socket", EEXIST};
  const int error = try_to_connect(path);
  if (error == ENOENT) return {};
  if (error == 0 || error == EAGAIN) return failure(EADDRINUSE, what);
  if (error != ECONNREFUSED) return failure(error, what);
  const Temporary aside{name_beside(path)};
  if (::rename(path.c_str(), aside.path.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return failure(errno, what);
  }
  struct stat moved {};
  if (::lstat(aside.path.c_str(), &moved) == 0 && !same_file(found, moved)) {
    static_cast<void>(::link(aside.path.c_str(), path.c_str()));
    return failure(EADDRINUSE, what);
  }
  return {};
}

}  // namespace

Result<UniqueFd> listen_tcp(const std::string& host, std::uint16_t port, int backlog, int family) {
  const Address address{Address::Kind::tcp, host, port, {}};
  auto list = ask_system(address, AI_PASSIVE);
  if (!list) return std::move(list).failure();
  int error = EADDRNOTAVAIL;
  for (const SocketAddress& entry : *list) {
    if (family != AF_UNSPEC && entry.family() != family) continue;
    UniqueFd socket = new_socket(entry.family());
    if (socket) {
      set_socket_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);  // so that old connections do not block the port
      if (entry.family() == AF_INET6) set_socket_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
      if (::bind(socket.get(), entry.get(), entry.size) == 0 && ::listen(socket.get(), backlog) == 0) return socket;
    }
    error = errno;
  }
  return failure(error, to_string(address));
}

Result<UnixListening> listen_unix(const std::string& path, int backlog, mode_t mode) {
  const std::string what = to_string(Address{Address::Kind::unix_socket, {}, 0, path});
  if (const std::string fault = unix_path_fault(path); !fault.empty()) return malformed_address(what, fault);
  UniqueFd socket = new_socket(AF_UNIX);
  if (!socket) return failure(errno, what);
  if (is_abstract(path)) {
    const SocketAddress address = unix_address(path);
    if (::bind(socket.get(), address.get(), address.size) != 0 || ::listen(socket.get(), backlog) != 0) {
      return failure(errno, what);
    }
    return UnixListening{std::move(socket), SocketFile{}};
  }
  // The socket is made under a temporary name, and linked to its own name at the end: nobody can connect to it before
  // it is ready, and a link never replaces a file.
  const Temporary temporary{name_beside(path)};
  if (!unix_path_fault(temporary.path).empty()) return failure(ENAMETOOLONG, what);
  static_cast<void>(::fchmod(socket.get(), mode));  // Linux makes the file with this mode; others need the chmod
  const SocketAddress address = unix_address(temporary.path);
  struct stat made {};
  if (::bind(socket.get(), address.get(), address.size) != 0 || ::chmod(temporary.path.c_str(), mode) != 0 ||
      ::listen(socket.get(), backlog) != 0 || ::lstat(temporary.path.c_str(), &made) != 0) {
    return failure(errno, what);
  }
  UniqueFd lock;
  for (int tries = 0; tries < 8; ++tries) {
    if (::link(temporary.path.c_str(), path.c_str()) == 0) {
      return UnixListening{std::move(socket), SocketFile{path, made.st_dev, made.st_ino}};
    }
    if (errno != EEXIST) return failure(errno, what);
    if (!lock) lock = lock_directory_of(path);
    if (auto cleared = clear_stale(path); !cleared) return std::move(cleared).failure();
  }
  return failure(EADDRINUSE, what);  // another process is always faster
}

void remove_socket_file(const SocketFile& file) noexcept {
  struct stat found {};
  if (::lstat(file.path.c_str(), &found) == 0 && found.st_dev == file.device && found.st_ino == file.inode) {
    ::unlink(file.path.c_str());
  }
}

Accepted accept_one(int listening) noexcept {
  for (;;) {
#if defined(__linux__) || defined(__FreeBSD__)
    UniqueFd socket(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
#else
    UniqueFd socket(::accept(listening, nullptr, nullptr));
    if (socket) {
      ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
      set_blocking(socket.get());  // it may inherit non-blocking mode from the listening socket
    }
#endif
    if (socket) return {std::move(socket), 0};
    switch (errno) {
      case EINTR:
      // The connection is already gone; Linux also returns pending network errors here.
      case ECONNABORTED:
      case EPROTO:
      case ENETDOWN:
      case ENOPROTOOPT:
      case EHOSTDOWN:
      case EHOSTUNREACH:
      case ENETUNREACH: continue;
      default: return {UniqueFd(), errno};
    }
  }
}

void set_tcp_options(int socket, const TcpOptions& options) noexcept {
  if (options.keepalive) set_socket_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
  if (options.keepalive && options.keepalive_idle.count() > 0) {
    constexpr std::chrono::seconds most{32767};  // the maximum of Linux
    set_socket_option(socket, IPPROTO_TCP, TCP_KEEPIDLE,
                      static_cast<int>(std::min(options.keepalive_idle, most).count()));
  }
#endif
#if defined(TCP_USER_TIMEOUT)
  if (options.user_timeout.count() > 0) {
    const auto most = std::chrono::milliseconds(std::chrono::hours(24));
    set_socket_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT,
                      static_cast<int>(std::min(options.user_timeout, most).count()));
  }
#endif
}

Result<UnixPeer> peer_of_unix(int socket) {
#if defined(SO_PEERCRED)
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return failure(errno, "ask who connected");
  if (size != sizeof peer || peer.uid == static_cast<uid_t>(-1)) return failure(EOPNOTSUPP, "ask who connected");
  return UnixPeer{peer.uid, peer.gid};
#else
  UnixPeer peer;
  if (::getpeereid(socket, &peer.user, &peer.group) != 0) return failure(errno, "ask who connected");
  return peer;
#endif
}

std::string describe_peer(int socket) {
  SocketAddress peer;
  if (::getpeername(socket, peer.get(), &peer.size) != 0) return "unknown";
  if (peer.storage.ss_family == AF_UNIX) {
#if defined(SO_PEERCRED)
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid > 0) {
      return formatted("unix pid {}", who.pid);
    }
#endif
    return "unix";
  }
  const std::string name = to_string(peer);
  return name == "unknown" ? name : "tcp " + name;
}

namespace {

bool is_of_this_host(const SocketAddress& address) noexcept {
  if (address.family() == AF_UNIX) return true;
  if (address.family() == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr.s_addr) >> 24U == 127;
  }
  if (address.family() != AF_INET6) return false;
  const in6_addr& six = reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

}  // namespace

bool is_to_this_host(int socket) noexcept {
  SocketAddress peer;
  return ::getpeername(socket, peer.get(), &peer.size) == 0 && is_of_this_host(peer);
}

bool listens_to_this_host(int socket) noexcept {
  SocketAddress here;
  return ::getsockname(socket, here.get(), &here.size) == 0 && is_of_this_host(here);
}

std::string local_address(int socket) {
  SocketAddress here;
  return ::getsockname(socket, here.get(), &here.size) == 0 ? to_string(here) : "unknown";
}

std::uint16_t local_port(int socket) noexcept {
  SocketAddress here;
  if (::getsockname(socket, here.get(), &here.size) != 0) return 0;
  if (here.storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(here.get())->sin_port);
  if (here.storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(here.get())->sin6_port);
  return 0;
}

}  // namespace remsh
