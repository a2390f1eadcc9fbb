// ServedCalls: the incoming calls that are in progress.
#pragma once

#include "base/clock.hpp"
#include "base/intrusive_list.hpp"
#include "rpc/served_call.hpp"

#include <remsh/base/deadline.hpp>

#include <cstdint>
#include <mutex>
#include <optional>

namespace remsh::rpc {

/// The incoming calls in progress, on all connections of one slave. A call is in it from its beginning to its answer,
/// or until its last reference goes. Thread-safe.
class ServedCalls {
 public:
  /// The clock must outlive it.
  explicit ServedCalls(const Clock& clock) : clock_(clock) {}
  ServedCalls(const ServedCalls&) = delete;
  ServedCalls& operator=(const ServedCalls&) = delete;

  [[nodiscard]] TimePoint now() const noexcept { return clock_.now(); }

  /// What the slave does now: whether a call is in progress, and when the last one ended.
  struct Activity {
    bool is_busy = false;
    std::optional<TimePoint> last_end = {};
  };
  [[nodiscard]] Activity activity() const {
    const std::lock_guard lock(mutex_);
    return {!calls_.empty(), last_end_};
  }

  /// Calls `visit` with each call, the newest first, under the lock of the list: it must neither answer a call nor drop
  /// one.
  template <class Visit>
  void for_each(Visit visit) const {
    const std::lock_guard lock(mutex_);
    calls_.for_each(visit);
  }

 private:
  friend class ServedCall;

  const Clock& clock_;
  mutable std::mutex mutex_;
  IntrusiveList<ServedCall> calls_;
  std::uint64_t last_number_ = 0;
  std::optional<TimePoint> last_end_;
};

}  // namespace remsh::rpc
