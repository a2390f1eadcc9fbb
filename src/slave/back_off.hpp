// BackOff: how long a slave waits before it connects again; pure state.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/slave/slave_server.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace remsh {

/// The outcome of a slave's attempt to serve its master, as far as the next pause depends on it.
enum class Visit : std::uint8_t {
  failed,       ///< no connection, or it was lost before it was of use
  turned_away,  ///< the master refused the slave, or admitted it only to send it away
  brief,        ///< it served a call, and ended soon
  lasting,      ///< it was registered for BackOff::lasting_after or longer
};

/// Exponential back-off with full jitter: each pause is anywhere between 0 and a limit, so that the slaves of a fleet
/// do not come back at the same moment. The limit doubles with each pause; a lasting visit resets it to the first one.
/// While the master was of use recently, the limit stays below recent_most, so that a master that was away for a short
/// time gets its slaves back soon. This does not hold for a master that turns the slave away. Times are inputs. One
/// thread at a time.
class BackOff {
 public:
  using Pause = std::chrono::milliseconds;

  /// The longest pause that a master can ask for.
  static constexpr Pause max_retry = std::chrono::hours(1);

  /// A shorter visit does not count as a success.
  static constexpr Duration lasting_after = std::chrono::seconds(10);

  /// What "recently" means, and the limit during that time.
  static constexpr Duration recent = std::chrono::minutes(5);
  static constexpr Pause recent_most = std::chrono::seconds(2);

  /// `now` counts as a time when the master was of use: the slave has just been started.
  BackOff(Pause first, Pause most, TimePoint now)
      : first_(std::max(first, Pause(1))), most_(std::max(most, first_)), limit_(first_), last_use_(now) {}

  /// The pause after a visit that ended now. If the master asked for a pause (above 0), that is used, with up to an
  /// eighth more. `random` is any number.
  Pause next(Visit visit, Pause asked, TimePoint now, std::uint64_t random) {
    if (visit == Visit::lasting) limit_ = first_;
    if (visit == Visit::lasting || visit == Visit::brief) last_use_ = now;
    const bool is_soon = visit != Visit::turned_away && now - last_use_ < recent;
    const Pause most = is_soon ? std::clamp(recent_most, first_, most_) : most_;
    const Pause limit = std::min(limit_, most);
    limit_ = std::min(limit * 2, most);
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
  TimePoint last_use_;
};

/// The kind of a visit that has ended now, from how it ended, when the slave was registered in it (if it was), and
/// whether it served a call.
inline Visit visit_of(ServeResult::Reason reason, std::optional<TimePoint> registered_at, bool has_served,
                      TimePoint now) {
  using Reason = ServeResult::Reason;
  if (registered_at && now - *registered_at >= BackOff::lasting_after) return Visit::lasting;
  if (registered_at && has_served) return Visit::brief;
  const bool is_cut = reason == Reason::lost || reason == Reason::unreachable || reason == Reason::stopped;
  return is_cut ? Visit::failed : Visit::turned_away;
}

}  // namespace remsh
