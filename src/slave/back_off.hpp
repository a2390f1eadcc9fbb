// BackOff: how long a slave waits before it connects again; pure state.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace remsh {

/// Exponential back-off with full jitter: each pause lies anywhere between nothing and a limit, so that a fleet does
/// not come back in step; the limit doubles with every failure and begins anew after a success. One thread at a time.
class BackOff {
 public:
  using Pause = std::chrono::milliseconds;

  /// No master keeps a slave away for longer than this.
  static constexpr Pause max_retry = std::chrono::hours(1);

  BackOff(Pause first, Pause most) : first_(std::max(first, Pause(1))), most_(std::max(most, first_)), limit_(first_) {}

  /// The slave was let in.
  void reset() { limit_ = first_; }

  /// The next pause. What the master asked for (above 0) counts, with up to an eighth more; `random` is any number.
  Pause next(Pause asked, std::uint64_t random) {
    const Pause limit = limit_;
    limit_ = std::min(limit_ * 2, most_);
    if (asked.count() > 0) {
      asked = std::min(asked, max_retry);
      return asked + up_to(asked / 8, random);
    }
    return up_to(limit, random);
  }

 private:
  static Pause up_to(Pause limit, std::uint64_t random) {
    return Pause(static_cast<Pause::rep>(random % (static_cast<std::uint64_t>(limit.count()) + 1)));
  }

  Pause first_;
  Pause most_;
  Pause limit_;
};

}  // namespace remsh
