// Parking: by a futex if there is one, otherwise by a condition variable.
#include "os/parking.hpp"

#if REMSH_HAS_FUTEX

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace remsh {

namespace {

static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);

/// The steady clock is CLOCK_MONOTONIC, which FUTEX_WAIT_BITSET uses.
timespec to_timespec(TimePoint at) {
  const auto since = at.time_since_epoch();
  if (since <= Duration::zero()) return {};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  timespec result{};
  result.tv_sec = static_cast<std::time_t>(seconds.count());
  result.tv_nsec = static_cast<decltype(result.tv_nsec)>(std::chrono::nanoseconds(since - seconds).count());
  return result;
}

/// Sleeps while the word has this value. False if the deadline has passed.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value, const timespec* deadline) {
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, deadline, nullptr,
                                FUTEX_BITSET_MATCH_ANY);
  return !(result < 0 && errno == ETIMEDOUT);
}

}  // namespace

void Parking::unpark() noexcept {
  // After the exchange the owner may be destroyed: then the wake-up finds no waiter at the address, or one that checks
  // again.
  if (state_.exchange(permit, std::memory_order_acq_rel) != parked) return;
  const int saved = errno;
  ::syscall(SYS_futex, &state_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
  errno = saved;
}

bool Parking::park_until(TimePoint deadline) {
  std::uint32_t seen = empty;
  if (!state_.compare_exchange_strong(seen, parked, std::memory_order_acq_rel)) {
    // By exchange, not by a store: another unpark() meanwhile gives the same permit.
    state_.exchange(empty, std::memory_order_acq_rel);
    return true;
  }
  const bool never = deadline == TimePoint::max();
  const timespec until = never ? timespec{} : to_timespec(deadline);
  for (;;) {
    const bool in_time = futex_wait(state_, parked, never ? nullptr : &until);
    seen = permit;
    if (state_.compare_exchange_strong(seen, empty, std::memory_order_acq_rel)) return true;
    if (in_time) continue;
    return state_.exchange(empty, std::memory_order_acq_rel) == permit;
  }
}

}  // namespace remsh

#else

namespace remsh {

void Parking::unpark() noexcept {
  // Notified under the lock, as the owner may be destroyed as soon as it sees the permit.
  const std::lock_guard lock(mutex_);
  permit_ = true;
  given_.notify_one();
}

bool Parking::park_until(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  const auto given = [this] { return permit_; };
  if (deadline == TimePoint::max()) {
    given_.wait(lock, given);
  } else if (!given_.wait_until(lock, deadline, given)) {
    return false;
  }
  permit_ = false;
  return true;
}

}  // namespace remsh

#endif
