// FakeClock: a clock that a test moves.
#pragma once

#include "base/clock.hpp"

#include <atomic>
#include <chrono>

namespace remsh::test {

/// Stands still until it is moved. Thread-safe. After moving it, call Loop::clock_moved() of each loop that uses it.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const noexcept override { return TimePoint(Duration(now_.load())); }
  void advance(Duration by) noexcept { now_ += by.count(); }

 private:
  std::atomic<Duration::rep> now_ = Duration(std::chrono::hours(1)).count();  // not 0, where "never yet" would be "now"
};

}  // namespace remsh::test
