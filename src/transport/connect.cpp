#include "transport/connect.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "transport/connect_race.hpp"
#include "transport/socket_address.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

namespace {

/// True if a socket is connected to itself. This happens now and then when connecting to a port of this host without a
/// listener, if the system picks that same port for the client.
bool is_with_itself(int socket) noexcept {
  SocketAddress here;
  SocketAddress there;
  return ::getsockname(socket, here.get(), &here.size) == 0 && ::getpeername(socket, there.get(), &there.size) == 0 &&
         (here.family() == AF_INET || here.family() == AF_INET6) && here == there;
}

/// Begins to connect. Returns 0 if connected, EINPROGRESS, or an error.
int begin_to_connect(int socket, const SocketAddress& address) noexcept {
  if (::connect(socket, address.get(), address.size) == 0) return 0;
  return errno == EINTR ? EINPROGRESS : errno;
}

int pending_error(int socket) noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

bool is_over(Deadline deadline, const std::stop_token& stop, TimePoint now) noexcept {
  return stop.stop_requested() || deadline.has_passed(now);
}

/// How long to wait before checking again for changes.
int wait_ms(Deadline deadline, std::optional<TimePoint> next, TimePoint now) noexcept {
  Duration wait = look_interval;
  if (!deadline.is_never()) wait = std::min(wait, deadline.at() - now);
  if (next && *next > now) wait = std::min(wait, *next - now);
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

/// The attempts to reach one host, with at most one socket per address. One thread at a time.
class Attempts {
 public:
  Attempts(std::string what, AddressList addresses)
      : what_(std::move(what)),
        addresses_(std::move(addresses)),
        race_(families_of(addresses_)),
        errors_(addresses_.size()) {}

  Result<UniqueFd> run(Deadline deadline, const std::stop_token& stop) {
    for (;;) {
      const TimePoint now = real_clock().now();
      begin(now);
      if (winner_) {
        set_blocking(winner_.get());
        return std::move(winner_);
      }
      if (race_.is_lost()) return lost();
      if (is_over(deadline, stop, now)) return gave_up(stop);
      wait(wait_ms(deadline, race_.next_at(), now));
    }
  }

 private:
  struct Attempt {
    UniqueFd socket;
    std::size_t address;
  };

  static std::vector<int> families_of(const AddressList& addresses) {
    std::vector<int> families;
    for (const SocketAddress& address : addresses) families.push_back(address.family());
    return families;
  }

  void begin(TimePoint now) {
    while (!winner_) {
      const auto next = race_.begin(now);
      if (!next) return;
      const SocketAddress& address = addresses_[*next];
      UniqueFd socket = new_socket(address.family());
      const int error = socket ? begin_to_connect(socket.get(), address) : errno;
      if (error == EINPROGRESS) {
        attempts_.push_back({std::move(socket), *next});
      } else {
        ended(std::move(socket), *next, error);
      }
    }
  }

  void wait(int timeout_ms) {
    std::vector<pollfd> polled;
    for (const Attempt& attempt : attempts_) polled.push_back({attempt.socket.get(), POLLOUT, 0});
    if (::poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
    std::vector<Attempt> pending;
    for (std::size_t i = 0; i < attempts_.size(); ++i) {
      Attempt& attempt = attempts_[i];
      if (polled[i].revents == 0) {
        pending.push_back(std::move(attempt));
      } else {
        const int error = pending_error(attempt.socket.get());
        ended(std::move(attempt.socket), attempt.address, error);
      }
    }
    attempts_ = std::move(pending);
  }

  void ended(UniqueFd socket, std::size_t address, int error) {
    if (error == 0 && is_with_itself(socket.get())) error = ECONNREFUSED;
    if (error != 0) {
      errors_[address] = last_error_ = error;
      race_.failed();
    } else if (!winner_) {
      winner_ = std::move(socket);
    }
  }

  /// The outcome for each address, if there are several.
  [[nodiscard]] std::string outcomes() const {
    std::string text;
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
      const int error = errors_[i];
      text += formatted("{}{}: {}", i == 0 ? "" : ", ", to_string(addresses_[i]),
                        error != 0 ? std::generic_category().message(error) : "no answer");
    }
    return text;
  }

  [[nodiscard]] bool has_same_errors() const {
    return std::all_of(errors_.begin(), errors_.end(), [this](int error) { return error == last_error_; });
  }

  [[nodiscard]] Failure lost() const {
    const std::string why = has_same_errors() ? std::generic_category().message(last_error_) : outcomes();
    return {Errc::local_os_error, what_ + ": " + why, last_error_};
  }

  [[nodiscard]] Failure gave_up(const std::stop_token& stop) const {
    if (stop.stop_requested()) return {Errc::cancelled, what_ + ": stopped while connecting", 0};
    const std::string all = addresses_.size() > 1 ? " (" + outcomes() + ")" : "";
    return {Errc::timeout, formatted("{}: no connection in time{}", what_, all), 0};
  }

  const std::string what_;
  const AddressList addresses_;
  ConnectRace race_;
  std::vector<Attempt> attempts_;  // in progress
  std::vector<int> errors_;        // of each address; 0: not failed
  int last_error_ = EADDRNOTAVAIL;
  UniqueFd winner_;
};

/// connect() to a unix socket fails with EAGAIN if too many clients wait, and there is no notification when that
/// changes: so it is retried.
Result<UniqueFd> connect_unix(const Address& address, Deadline deadline, const std::stop_token& stop) {
  const std::string what = to_string(address);
  if (const std::string fault = unix_path_fault(address.path); !fault.empty()) return malformed_address(what, fault);
  const SocketAddress name = unix_address(address.path);
  for (;;) {
    Attempts attempt(what, {name});
    auto connected = attempt.run(deadline, stop);
    if (connected || connected.failure().os != EAGAIN) return connected;
    const TimePoint now = real_clock().now();
    if (stop.stop_requested()) return Failure{Errc::cancelled, what + ": stopped while connecting", 0};
    if (deadline.has_passed(now)) {
      return Failure{Errc::timeout, what + ": no connection in time, as too many others wait there", 0};
    }
    ::poll(nullptr, 0, wait_ms(deadline, std::nullopt, now));
  }
}

}  // namespace

Result<UniqueFd> connect_to(const Address& address, Deadline deadline, const std::stop_token& stop, const LookUp& by) {
  const std::string what = to_string(address);
  if (address.kind == Address::Kind::tls) return malformed_address(what, "is one of TLS, and cannot be used without");
  if (address.kind == Address::Kind::unix_socket) return connect_unix(address, deadline, stop);
  auto list = look_up(address, deadline, stop, by);
  if (!list) return std::move(list).failure();
  if (list->size() > max_attempts) list->resize(max_attempts);
  return Attempts(what, *std::move(list)).run(deadline, stop);
}

}  // namespace remsh
