// Parking: a caller's wait, until it is woken or a deadline.
#pragma once

#include <remsh/base/deadline.hpp>

// Not on 32 bits, where the call wants a timespec that the C library may no longer have.
#if defined(__linux__) && defined(__LP64__) && !defined(REMSH_NO_FUTEX)
#define REMSH_HAS_FUTEX 1
#include <atomic>
#include <cstdint>
#else
#define REMSH_HAS_FUTEX 0
#include <condition_variable>
#include <mutex>
#endif

namespace remsh {

/// Where one thread waits for others. Any thread may unpark(), one thread at a time parks.
///
/// unpark() leaves a permit, which the next park() takes: one given before parking is not lost, several are one. What
/// the unparking thread wrote before is seen by the one that took the permit. To be woken means "look", nothing else:
/// the owner checks under its own lock whether there is something for it. May be destroyed as soon as the permit was
/// taken, also while unpark() is about to return.
class Parking {
 public:
  Parking() noexcept = default;
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;

  /// Leaves a permit and wakes who is parked.
  void unpark() noexcept;

  /// Waits for a permit and takes it; false where the deadline passed without one. TimePoint::max() means never, a
  /// point in the past only takes what is there.
  bool park_until(TimePoint deadline);

  /// Waits for a permit as long as it takes.
  void park() { park_until(TimePoint::max()); }

 private:
#if REMSH_HAS_FUTEX
  static constexpr std::uint32_t empty = 0;
  static constexpr std::uint32_t permit = 1;
  static constexpr std::uint32_t parked = 2;  // empty, and somebody must be woken
  std::atomic<std::uint32_t> state_ = empty;
#else
  std::mutex mutex_;
  std::condition_variable given_;
  bool permit_ = false;
#endif
};

}  // namespace remsh
