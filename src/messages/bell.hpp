// Bell: wakes a started work that is polled.
#pragma once

#include <remsh/base/work.hpp>

#include <mutex>
#include <utility>

namespace remsh::messages {

/// Holds the waker of a work between its polls, for those who may wake it: the stream, a timer, a stop token.
/// Thread-safe.
class Bell {
 public:
  /// The next ring() calls this waker, once.
  void set(Waker wake) {
    const std::lock_guard lock(mutex_);
    wake_ = std::move(wake);
  }

  void ring() {
    Waker wake;
    {
      const std::lock_guard lock(mutex_);
      wake.swap(wake_);
    }
    if (wake) wake();
  }

 private:
  std::mutex mutex_;
  Waker wake_;
};

}  // namespace remsh::messages
