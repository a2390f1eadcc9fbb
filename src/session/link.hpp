// Link: the connection that a session is attached to: its bytes, and the watch of them.
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

/// The connection of a session, while it has one. What is above reads and writes through this, and so never sees a
/// transport. An event of the loop carries a slot and the number of an arming, so one that comes late, or for an
/// earlier connection, is recognised. Small, as a master has many.
class Link {
 public:
  /// The longest that one read waits.
  static constexpr Duration slice = Transport::slice;

  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { close(); }

  /// It has a connection from now on. The loop must outlive that; it tells `watched` of what arm() asks for.
  void open(std::unique_ptr<Transport> transport, Loop& loop, std::weak_ptr<Watched> watched);
  [[nodiscard]] bool is_open() const noexcept { return transport_ != nullptr; }
  /// Closes the descriptor: nobody may be inside a read or a write.
  void close() noexcept;

  // Of one that is open. One thread at a time reads, one writes. No lock is needed.

  IoResult read(std::span<char> buffer, Duration wait) { return transport_->read_some(buffer, wait); }
  IoResult write(std::span<const std::string_view> views);
  Ready wait(Ready directions, Duration wait) { return transport_->wait(directions, wait); }

  /// Ends both directions; wakes the reader, which then sees the end. From any thread.
  void shut_down() noexcept { transport_->shutdown(); }

  /// Why a read or a write failed with this errno value: what the transport knows of it says more than the number.
  [[nodiscard]] Failure broken(const char* action, int error) const;

  // Under the lock of its owner.

  [[nodiscard]] Ready armed() const noexcept { return static_cast<Ready>(armed_); }
  void arm(Ready directions);
  /// An event has come. False if it is of an earlier arming; else nothing is armed any more.
  bool take_event(std::uint32_t number) noexcept;
  /// It is shut down, and no event counts any more.
  void cut() noexcept;

 private:
  std::unique_ptr<Transport> transport_;
  Loop* loop_ = nullptr;
  std::uint32_t number_ = 0;     // of the last arming
  std::uint32_t slot_ : 24 = 0;  // of the loop
  std::uint32_t armed_ : 2 = 0;  // a Ready
  std::uint32_t is_cut_ : 1 = 0;
};

}  // namespace remsh
