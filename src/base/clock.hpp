// Clock: the library's source of time.
#pragma once

#include <remsh/base/deadline.hpp>

namespace remsh {

/// A source of the steady time. State machines take times as inputs; their drivers ask the clock of their loop
/// (`Loop::now()`), so that a test or a simulator can control the time. Thread-safe.
class Clock {
 public:
  [[nodiscard]] virtual TimePoint now() const noexcept = 0;

 protected:
  ~Clock() = default;
};

/// std::chrono::steady_clock. Code above the os layer uses it only if a real thread waits in the operating system,
/// which uses this clock: tests/checks/layering.py has the list of these files.
inline const Clock& real_clock() noexcept {
  class Real final : public Clock {
   public:
    [[nodiscard]] TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }
  };
  static constexpr Real clock;
  return clock;
}

}  // namespace remsh
