// Work: something that was begun, driven by whoever wants its outcome.
#pragma once

#include <remsh/base/deadline.hpp>

#include <functional>

namespace remsh {

/// Called once, from any thread, when it is worth to poll again. It must not block, throw or call the library.
using Waker = std::function<void()>;

/// Something that was begun, driven by whoever wants its outcome: callbacks of the user's run in that thread, and what
/// they throw comes out of it; then the work is over. Destroyed before it is over, it is cancelled. One thread at a
/// time. What a Pending is made of.
class Work {
 public:
  Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual ~Work() = default;

  /// Nobody waits now: it goes on by itself, as far as it can without its callbacks. Before the first poll().
  virtual void suspend() = 0;

  /// Does what there is to do, without waiting. True: it is over. False: `wake` will be called.
  virtual bool poll(const Waker& wake) = 0;

  /// Waits until it is over. False: not before then.
  virtual bool wait_until(TimePoint until) = 0;
};

/// Work with an outcome.
template <class T>
class WorkOf : public Work {
 public:
  using Outcome = T;

  /// The outcome: once, when it is over. Throws where it failed.
  virtual T take() = 0;
};

}  // namespace remsh
