// Link: the connection that a session is attached to: its bytes and its events.
#pragma once

#include "base/result.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/transport/transport.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace remsh {

/// The connection of a session, while it has one. The layers above read and write through it and never see a transport.
/// Events of the loop carry a slot and the number of an arming, so late events and events of an earlier connection are
/// recognised. Small, because a master has many.
class Link {
 public:
  /// The longest time that one read blocks.
  static constexpr Duration slice = Transport::slice;

  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { close(); }

  /// Attaches a connection. The loop must outlive it; it notifies `watched` of the events that arm() asks for.
  void open(std::unique_ptr<Transport> transport, Loop& loop, std::weak_ptr<Watched> watched);
  [[nodiscard]] bool is_open() const noexcept { return transport_ != nullptr; }
  /// Closes the descriptor. No thread may be inside a read or a write.
  void close() noexcept;

  // Only while open. One thread at a time reads, one writes. No lock is needed.

  IoResult read(std::span<char> buffer, Duration wait) { return transport_->read_some(buffer, wait); }
  IoResult write(std::span<const std::string_view> views);
  Ready wait(Ready directions, Duration wait) { return transport_->wait(directions, wait); }

  /// Ends both directions, from any thread; wakes the reader, which then sees the end.
  void shut_down() noexcept { transport_->shutdown(); }

  /// The failure of a read or a write with this errno value, described by the transport if it knows more.
  [[nodiscard]] Failure broken(const char* action, int error) const;

  // The owner must hold its lock:

  [[nodiscard]] Ready armed() const noexcept { return static_cast<Ready>(armed_); }
  void arm(Ready directions);
  /// Handles an event: returns false if it is of an earlier arming; otherwise disarms.
  bool take_event(std::uint32_t number) noexcept;
  /// Shuts the connection down and ignores all later events.
  void cut() noexcept;

 private:
  std::unique_ptr<Transport> transport_;
  Loop* loop_ = nullptr;
  std::uint32_t number_ = 0;     // of the last arming
  std::uint32_t slot_ : 24 = 0;  // of the loop
  std::uint32_t armed_ : 2 = 0;  // of type Ready
  std::uint32_t is_cut_ : 1 = 0;
};

}  // namespace remsh
