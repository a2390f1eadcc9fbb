// SocketAddress: an address for the system's calls; sockets that are created non-blocking and close-on-exec.
#pragma once

#include "os/unique_fd.hpp"

#include <sys/socket.h>

#include <string>
#include <string_view>

namespace remsh {

/// An address of any family, for connect(2) and bind(2).
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const noexcept { return storage.ss_family; }
};

bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept;

/// True for a name in the abstract namespace of Linux, which is no file: a zero byte is in front of it.
inline bool is_abstract(std::string_view path) noexcept { return path.starts_with('\0'); }

/// The address of a unix socket. The path must fit: see unix_path_fault().
SocketAddress unix_address(const std::string& path);

/// What is wrong with a path for a unix socket; empty if it is valid.
std::string unix_path_fault(std::string_view path);

/// An Internet address in numbers: "10.0.0.1:80", "[::1]:80"; "unknown" for another family.
std::string to_string(const SocketAddress& address);

/// A stream socket, non-blocking and close-on-exec; empty, with errno set, if it fails.
UniqueFd new_socket(int family, int protocol = 0) noexcept;

void set_blocking(int fd) noexcept;

/// Sets an option; does nothing if the socket does not support it.
void set_socket_option(int socket, int level, int name, int value) noexcept;

}  // namespace remsh
