// Flow-control arithmetic of streams; pure state.
#pragma once

#include <algorithm>
#include <cstdint>

namespace remsh::rpc {

/// Constants of the protocol: docs/protocol.md section 6.
inline constexpr std::uint64_t stream_window = 64 * 1024;            // what every stream may send from the start
inline constexpr std::uint64_t stream_window_max = 2 * 1024 * 1024;  // the most that a stream may have
inline constexpr std::uint64_t credit_pool = 4 * 1024 * 1024;        // what one connection lends beyond the windows
inline constexpr std::uint64_t chunk_cost_min = 64;                  // the least that a data box costs

/// What a data box of `bytes` bytes costs.
constexpr std::uint64_t chunk_cost(std::uint64_t bytes) noexcept { return std::max(bytes, chunk_cost_min); }

/// What a connection lends to streams whose consumers keep up.
class CreditPool {
 public:
  explicit CreditPool(std::uint64_t size = credit_pool) : free_(size) {}

  std::uint64_t lend(std::uint64_t wanted) noexcept {
    const std::uint64_t lent = std::min(wanted, free_);
    free_ -= lent;
    return lent;
  }
  void take_back(std::uint64_t lent) noexcept { free_ += lent; }
  [[nodiscard]] std::uint64_t free() const noexcept { return free_; }

 private:
  std::uint64_t free_;
};

/// The sender's side of one stream: what it may still send.
class SendCredit {
 public:
  /// How many bytes one data box may have now; 0 if none may be sent.
  [[nodiscard]] std::uint64_t room() const noexcept { return credit_ < chunk_cost_min ? 0 : credit_; }

  /// Pays for a box of `bytes` <= room().
  void spend(std::uint64_t bytes) noexcept { credit_ -= std::min(credit_, chunk_cost(bytes)); }

  /// Adds credit from the other side. False if that is more than a stream can have.
  bool add(std::uint64_t bytes) noexcept {
    if (bytes > stream_window_max || credit_ + bytes > stream_window_max) return false;
    credit_ += bytes;
    return true;
  }

  [[nodiscard]] std::uint64_t credit() const noexcept { return credit_; }

 private:
  std::uint64_t credit_ = stream_window;
};

/// The receiver's side of one stream: what it has allowed the other side to send, and how much of that is used up.
class ReceiveWindow {
 public:
  /// A data box arrived. False if it is larger than the credit granted.
  bool receive(std::uint64_t bytes) noexcept {
    if (chunk_cost(bytes) > granted_) return false;
    granted_ -= chunk_cost(bytes);
    return true;
  }

  /// A data box was used up. Returns the credit to send now, or 0. Credit is sent in halves of a window, which needs
  /// few boxes and keeps the sender going. A consumer that keeps up is lent more from the pool, so that its window is
  /// four times as large: on a long link three round trips are enough for the largest.
  std::uint64_t consume(std::uint64_t bytes, bool keeps_up, CreditPool& pool) noexcept {
    owed_ += chunk_cost(bytes);
    if (owed_ < window() / 2) return 0;
    if (keeps_up && window() < stream_window_max) {
      const std::uint64_t more = pool.lend(std::min(3 * window(), stream_window_max - window()));
      lent_ += more;
      owed_ += more;
    }
    const std::uint64_t grant = owed_;
    granted_ += grant;
    owed_ = 0;
    return grant;
  }

  /// The stream is over: everything lent goes back to the pool, credit still under way included.
  void settle(CreditPool& pool) noexcept {
    pool.take_back(lent_);
    lent_ = 0;
  }

  [[nodiscard]] std::uint64_t window() const noexcept { return stream_window + lent_; }

  /// What the other side may still send, including what it has sent and we have not received. Its SendCredit is never
  /// more than this, and is equal when nothing is under way.
  [[nodiscard]] std::uint64_t granted() const noexcept { return granted_; }

 private:
  std::uint64_t granted_ = stream_window;  // granted, and not yet received, by our count
  std::uint64_t owed_ = 0;                 // used up and not yet granted again
  std::uint64_t lent_ = 0;                 // how much of the window is from the pool
};

}  // namespace remsh::rpc
