// SmallMutex: a mutex of four bytes.
#pragma once

#include <atomic>
#include <cstdint>

namespace remsh {

/// A mutex of four bytes, for objects that a master has in large numbers. Not recursive, not fair. Use std::lock_guard.
class SmallMutex {
 public:
  SmallMutex() = default;
  SmallMutex(const SmallMutex&) = delete;
  SmallMutex& operator=(const SmallMutex&) = delete;

  void lock() noexcept {
    std::uint32_t seen = free;
    if (state_.compare_exchange_strong(seen, locked, std::memory_order_acquire)) return;
    while (state_.exchange(awaited, std::memory_order_acquire) != free) state_.wait(awaited);
  }

  void unlock() noexcept {
    if (state_.exchange(free, std::memory_order_release) == awaited) state_.notify_one();
  }

 private:
  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t locked = 1;
  static constexpr std::uint32_t awaited = 2;  // locked, and another thread may wait

  std::atomic<std::uint32_t> state_ = free;
};

}  // namespace remsh
