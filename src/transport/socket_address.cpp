#include "transport/socket_address.hpp"

#include "base/format.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace remsh {

namespace {

constexpr std::size_t max_path = sizeof(sockaddr_un::sun_path) - 1;

}  // namespace

bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
  return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

SocketAddress unix_address(const std::string& path) {
  SocketAddress address;
  auto* name = reinterpret_cast<sockaddr_un*>(&address.storage);
  name->sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), name->sun_path);  // the terminating zero is already there
  const std::size_t terminator = is_abstract(path) ? 0 : 1;
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + terminator);
  return address;
}

std::string unix_path_fault(std::string_view path) {
  if (path.empty()) return "has no path behind 'unix:'";
  if (path.find('\0', is_abstract(path) ? 1 : 0) != std::string_view::npos) return "has a zero byte in its path";
  if (path.size() == 1 && is_abstract(path)) return "has no name";
  if (path.size() > max_path) {
    return formatted("has a path of {} bytes, and a unix socket takes at most {}", path.size(), max_path);
  }
  return {};
}

std::string to_string(const SocketAddress& address) {
  if (address.family() != AF_INET && address.family() != AF_INET6) return "unknown";
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(address.get(), address.size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  const std::string name = host.data();
  return (address.family() == AF_INET ? name : "[" + name + "]") + ":" + port.data();
}

UniqueFd new_socket(int family, int protocol) noexcept {
#if defined(SOCK_CLOEXEC)
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
#else
  UniqueFd fd(::socket(family, SOCK_STREAM, protocol));  // cannot be done in one step here
  if (fd) ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  if (fd) ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
#endif
}

void set_blocking(int fd) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

void set_socket_option(int socket, int level, int name, int value) noexcept {
  ::setsockopt(socket, level, name, &value, sizeof value);
}

}  // namespace remsh
