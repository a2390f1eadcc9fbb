// Deadline: the latest time until which a caller waits.
#pragma once

#include <algorithm>
#include <chrono>

namespace remsh {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

/// A point in time on the steady clock, or never.
///
/// Written as a duration from now (`5s`), as a point in time, or as one of `block` and `no_wait`.
class Deadline {
 public:
  /// Never.
  constexpr Deadline() noexcept = default;

  constexpr Deadline(TimePoint at) noexcept : at_(at) {}

  /// `from_now` after the moment of this construction; a huge duration means never.
  template <class Rep, class Period>
  Deadline(std::chrono::duration<Rep, Period> from_now) : at_(after(from_now)) {}

  [[nodiscard]] constexpr TimePoint at() const noexcept { return at_; }
  [[nodiscard]] constexpr bool is_never() const noexcept { return at_ == TimePoint::max(); }
  [[nodiscard]] bool has_passed() const { return has_passed(std::chrono::steady_clock::now()); }
  [[nodiscard]] constexpr bool has_passed(TimePoint now) const noexcept { return !is_never() && now >= at_; }

  friend constexpr bool operator==(const Deadline&, const Deadline&) noexcept = default;

 private:
  template <class Rep, class Period>
  static TimePoint after(std::chrono::duration<Rep, Period> from_now) {
    using Seconds = std::chrono::duration<double>;
    const TimePoint now = std::chrono::steady_clock::now();
    if (Seconds(from_now) >= Seconds(TimePoint::max() - now)) return TimePoint::max();
    return now + std::max(Duration::zero(), std::chrono::duration_cast<Duration>(from_now));
  }

  TimePoint at_ = TimePoint::max();
};

/// A deadline in options, which may be kept and used for several calls: a duration counts from the beginning of each.
///
/// Written as a Deadline is.
class CallDeadline {
 public:
  /// Never.
  constexpr CallDeadline() noexcept = default;

  constexpr CallDeadline(Deadline at) noexcept : at_(at) {}
  constexpr CallDeadline(TimePoint at) noexcept : at_(at) {}

  template <class Rep, class Period>
  CallDeadline(std::chrono::duration<Rep, Period> from_call) {
    using Seconds = std::chrono::duration<double>;
    const bool is_huge = Seconds(from_call) >= Seconds(Duration::max());
    from_call_ =
        is_huge ? Duration::max() : std::max(Duration::zero(), std::chrono::duration_cast<Duration>(from_call));
  }

  /// The deadline of a call that begins now.
  [[nodiscard]] Deadline begin() const { return from_call_ == none ? at_ : Deadline(from_call_); }

  [[nodiscard]] constexpr bool is_never() const noexcept { return from_call_ == none && at_.is_never(); }

  friend constexpr bool operator==(const CallDeadline&, const CallDeadline&) noexcept = default;

 private:
  static constexpr Duration none = Duration::min();

  Deadline at_;
  Duration from_call_ = none;
};

/// Wait as long as it takes.
inline constexpr Deadline block{};

/// Do not wait at all.
inline constexpr Deadline no_wait{TimePoint::min()};

}  // namespace remsh
