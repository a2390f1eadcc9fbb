// Clock: where the library takes the time from.
#pragma once

#include <remsh/base/deadline.hpp>

namespace remsh {

/// A source of the steady time. State machines take times as inputs; what drives them asks the clock of its loop
/// (`Loop::now()`), so that a test or a simulator can move the time. Thread-safe.
class Clock {
 public:
  [[nodiscard]] virtual TimePoint now() const noexcept = 0;

 protected:
  ~Clock() = default;
};

/// std::chrono::steady_clock. Code above the os layer names it only where a real thread waits in the operating system,
/// which knows no other clock: tests/checks/layering.py has the list of these files.
inline const Clock& real_clock() noexcept {
  class Real final : public Clock {
   public:
    [[nodiscard]] TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }
  };
  static constexpr Real clock;
  return clock;
}

}  // namespace remsh
