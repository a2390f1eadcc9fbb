// ServiceManager: tells systemd, or whatever has started this program, how it is: the protocol of sd_notify(3).
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// The service manager that has started this program, if it wants to be told. Thread-safe.
class ServiceManager {
 public:
  /// Without one: notify() does nothing.
  ServiceManager() = default;

  /// The one that the environment names ($NOTIFY_SOCKET, $WATCHDOG_USEC, $WATCHDOG_PID). Removes these variables, so
  /// that no command inherits them: call it before there are other threads.
  static ServiceManager from_environment();

  /// `socket`: a path, or a name that begins with '@'.
  ServiceManager(std::string socket, std::optional<std::chrono::microseconds> watchdog)
      : socket_(std::move(socket)), watchdog_(watchdog) {}

  /// Sends a text, as "READY=1" or "STATUS=waits"; several are separated by newlines. Never blocks. False if it was not
  /// sent.
  bool notify(std::string_view text) const noexcept;

  [[nodiscard]] bool is_there() const noexcept { return !socket_.empty(); }

  /// How often it must hear "WATCHDOG=1" at least; nullopt: it need not.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog() const noexcept { return watchdog_; }

 private:
  std::string socket_;  // empty: none
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace remsh
