// LeaveRules: when a slave ends by itself; pure state.
#pragma once

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace remsh {

/// Decides when a slave ends by itself: without work, after its lifetime, or without a master. Times are inputs. One
/// thread at a time.
class LeaveRules {
 public:
  /// 0: never.
  struct Limits {
    Duration idle{};       ///< without an operation
    Duration lifetime{};   ///< in all; then it ends as soon as no operation runs
    Duration no_master{};  ///< without a master that has accepted it
  };

  enum class Why : std::uint8_t { idle, lifetime, no_master };

  /// What the slave does for its masters.
  struct Work {
    bool is_busy = false;                    ///< an operation runs
    std::optional<TimePoint> last_end = {};  ///< when the last one ended
  };

  /// How often a slave that is busy after its lifetime checks whether it still is.
  static constexpr Duration busy_look = std::chrono::milliseconds(200);

  LeaveRules(Limits limits, TimePoint start) : limits_(limits), start_(start), alone_since_(start) {}

  [[nodiscard]] bool are_any() const noexcept {
    return limits_.idle.count() > 0 || limits_.lifetime.count() > 0 || limits_.no_master.count() > 0;
  }

  /// A master has accepted the slave, or such a connection has ended.
  void admitted() { ++masters_; }
  void gone(TimePoint now) {
    --masters_;
    alone_since_ = now;
  }

  /// Why it has to end now; nullopt: it does not.
  [[nodiscard]] std::optional<Why> due(TimePoint now, const Work& work) const {
    if (!work.is_busy && now >= after(idle_since(work), limits_.idle)) return Why::idle;
    if (!work.is_busy && now >= after(start_, limits_.lifetime)) return Why::lifetime;
    if (masters_ == 0 && now >= after(alone_since_, limits_.no_master)) return Why::no_master;
    return std::nullopt;
  }

  /// The latest time at which to ask due() again; max(): when a connection begins or ends. A slave that is busy until
  /// then is asked later, so the end of an operation needs no notification.
  [[nodiscard]] TimePoint next_look(TimePoint now, const Work& work) const {
    const TimePoint lifetime = after(start_, limits_.lifetime);
    return std::min({after(work.is_busy ? now : idle_since(work), limits_.idle),
                     work.is_busy && lifetime <= now ? now + busy_look : lifetime,
                     masters_ == 0 ? after(alone_since_, limits_.no_master) : TimePoint::max()});
  }

 private:
  static TimePoint after(TimePoint begin, Duration limit) {
    return limit.count() <= 0 || limit > TimePoint::max() - begin ? TimePoint::max() : begin + limit;
  }
  [[nodiscard]] TimePoint idle_since(const Work& work) const {
    return std::max(start_, work.last_end.value_or(start_));
  }

  const Limits limits_;
  const TimePoint start_;
  TimePoint alone_since_;
  unsigned masters_ = 0;  // connections of masters that have accepted it
};

}  // namespace remsh
