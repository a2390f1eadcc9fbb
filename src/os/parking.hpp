// Parking: a caller's wait, until it is woken or a deadline.
#pragma once

#include <remsh/base/deadline.hpp>

// Not on 32 bits, where the system call needs a timespec that the C library may not have any more.
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

/// Lets one thread wait for others. Any thread may unpark(); one thread at a time parks.
///
/// unpark() leaves a permit, which the next park() takes. A permit that was given before parking is not lost; several
/// are one. Writes of the unparking thread are visible to the thread that takes the permit. Being woken means only
/// "look again": the owner checks under its own lock whether there is something for it. May be destroyed as soon as the
/// permit was taken, even while unpark() is about to return.
class Parking {
 public:
  Parking() noexcept = default;
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;

  /// Leaves a permit, and wakes the parked thread.
  void unpark() noexcept;

  /// Waits for a permit and takes it; false if the deadline has passed without one. TimePoint::max() means no deadline.
  /// A deadline in the past takes only an existing permit.
  bool park_until(TimePoint deadline);

  /// Waits for a permit as long as it takes.
  void park() { park_until(TimePoint::max()); }

 private:
#if REMSH_HAS_FUTEX
  static constexpr std::uint32_t empty = 0;
  static constexpr std::uint32_t permit = 1;
  static constexpr std::uint32_t parked = 2;  // empty, and a thread must be woken
  std::atomic<std::uint32_t> state_ = empty;
#else
  std::mutex mutex_;
  std::condition_variable given_;
  bool permit_ = false;
#endif
};

}  // namespace remsh
