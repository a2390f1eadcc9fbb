#include "os/service_manager.hpp"

#include "base/decimal.hpp"
#include "os/unique_fd.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace remsh {

namespace {

/// Takes a variable out of the environment.
std::string take_variable(const char* name) {
  const char* const value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  ::unsetenv(name);
  return taken;
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  std::string socket = take_variable("NOTIFY_SOCKET");
  const auto interval = from_decimal(take_variable("WATCHDOG_USEC"));
  const std::string process = take_variable("WATCHDOG_PID");
  constexpr std::uint64_t most = std::uint64_t{1} << 50U;  // of microseconds, so that nothing overflows
  std::optional<std::chrono::microseconds> watchdog;
  const bool is_for_us = process.empty() || process == std::to_string(::getpid());
  if (!socket.empty() && is_for_us && interval && *interval > 0 && *interval <= most) {
    watchdog = std::chrono::microseconds(static_cast<std::int64_t>(*interval));
  }
  return {std::move(socket), watchdog};
}

bool ServiceManager::notify(std::string_view text) const noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool is_name = socket_.starts_with('@') || socket_.starts_with('/');
  if (!is_name || socket_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  // An abstract name begins with a zero byte, and has no zero byte at its end.
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd from(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::size_t size = offsetof(sockaddr_un, sun_path) + socket_.size() + (socket_[0] == '@' ? 0 : 1);
  return from && ::sendto(from.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                          reinterpret_cast<const sockaddr*>(&address),
                          static_cast<socklen_t>(size)) == static_cast<ssize_t>(text.size());
}

}  // namespace remsh
