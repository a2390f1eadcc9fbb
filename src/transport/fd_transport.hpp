// Transports over sockets and over pairs of descriptors.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/transport.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

namespace remsh {

/// A connected stream socket, in blocking mode: who reads sits in the one system call, and wakes each slice.
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

 private:
  const UniqueFd socket_;
  const std::string description_;
  const bool inherited_;
  bool reads_in_slices_ = false;  // else somebody made it non-blocking, and a read must poll
};

/// Two descriptors, each a pipe, a socket or a terminal; they may be the same.
///
/// Nothing can wake a thread that polls a pipe, so waits are cut into slices; and no call can end a pipe while others
/// may be using its number, so shutdown() puts a dead socket in its place.
class PipeTransport final : public Transport {
 public:
  /// Throws Error where one of the descriptors cannot be waited for.
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
    socket,    // each call says that it must not block
    own,       // opened anew: its own flags, so it is non-blocking
    borrowed,  // shared flags that must stay: poll first, and move little
  };
  static Kind prepare(UniqueFd& fd, int mode, const std::string& description);
  [[nodiscard]] int write_fd() const noexcept { return write_to_ ? write_to_.get() : read_from_.get(); }
  Ready poll_once(Ready directions, Duration wait) const noexcept;

  UniqueFd read_from_;
  UniqueFd write_to_;  // none: the same as read_from_
  Kind read_kind_;
  Kind write_kind_;
  const std::string description_;
  std::atomic<bool> shut_{false};

  std::mutex mutex_;  // guards who is to be told of a shutdown, and that nobody is armed after it
  Watcher* watcher_ = nullptr;
  Ready armed_ = Ready::none;
  std::uint64_t token_ = 0;
};

}  // namespace remsh
