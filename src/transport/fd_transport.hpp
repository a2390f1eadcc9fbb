// Transports over sockets and over pairs of descriptors.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/transport.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace remsh {

/// A connected stream socket, in blocking mode: the reader blocks in a single system call, and returns after each
/// slice.
class SocketTransport final : public Transport {
 public:
  SocketTransport(UniqueFd socket, std::string description, bool inherited);

  IoResult read_some(std::span<char> buffer, Duration wait) override;
  IoResult write_some(std::span<const std::string_view> buffers) override;
  Ready wait(Ready directions, Duration wait) override;
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override;
  void disarm_for_good(Watcher& watcher) noexcept override;
  void shutdown() noexcept override;
  [[nodiscard]] bool is_inherited() const override { return inherited_; }
  [[nodiscard]] std::string description() const override { return description_; }

  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

  /// Gives the socket away, in the state in which another owner expects it. No other function may run, or be called
  /// later.
  UniqueFd release();

 private:
  [[nodiscard]] bool read_in_slices() const noexcept;

  UniqueFd socket_;
  const std::string description_;
  const bool inherited_;
  std::optional<bool> reads_in_slices_;  // set by the first read that may wait
};

/// Two descriptors, each a pipe, a socket or a terminal; they may be the same.
///
/// Nothing can wake a thread that polls a pipe, so waits are cut into slices. A pipe cannot be shut down while other
/// threads may be using its number, so shutdown() replaces it by a dead socket.
class PipeTransport final : public Transport {
 public:
  /// Throws Error if one of the descriptors cannot be polled.
  PipeTransport(UniqueFd read_from, UniqueFd write_to, std::string description);

  IoResult read_some(std::span<char> buffer, Duration wait) override;
  IoResult write_some(std::span<const std::string_view> buffers) override;
  Ready wait(Ready directions, Duration wait) override;
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override;
  void disarm_for_good(Watcher& watcher) noexcept override;
  void shutdown() noexcept override;
  [[nodiscard]] bool is_inherited() const override { return true; }
  [[nodiscard]] std::string description() const override { return description_; }

 private:
  enum class Kind : std::uint8_t {
    socket,    // each call has the flag MSG_DONTWAIT
    own,       // opened again with flags of its own: non-blocking
    borrowed,  // shared flags, which must not be changed: poll first, and move little
  };
  static Kind prepare(UniqueFd& fd, int mode, const std::string& description);
  [[nodiscard]] int write_fd() const noexcept { return write_to_ ? write_to_.get() : read_from_.get(); }
  Ready poll_once(Ready directions, Duration wait) const noexcept;

  UniqueFd read_from_;
  UniqueFd write_to_;  // empty: the same as read_from_
  Kind read_kind_;
  Kind write_kind_;
  const std::string description_;
  std::atomic<bool> shut_{false};

  std::mutex mutex_;  // guards the watcher to notify of a shutdown, and prevents arming after it
  Watcher* watcher_ = nullptr;
  Ready armed_ = Ready::none;
  std::uint64_t token_ = 0;
};

}  // namespace remsh
