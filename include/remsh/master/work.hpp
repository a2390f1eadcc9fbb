// Waker; and what a Pending and a CompletionQueue are made of, which is not for users.
#pragma once

#include <remsh/base/deadline.hpp>

#include <functional>

namespace remsh {

/// Called once, from any thread, when it is worth to poll again. It must not block, throw or call the library.
using Waker = std::function<void()>;

namespace detail {

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

/// The work of a Pending.
template <class T>
class PendingWork : public WorkOf<T> {
 public:
  /// Ends it, if it is not over: its outcome is that it was cancelled.
  virtual void cancel() = 0;
};

/// Work in a CompletionQueue.
class QueuedWork {
 public:
  QueuedWork() = default;
  QueuedWork(const QueuedWork&) = delete;
  QueuedWork& operator=(const QueuedWork&) = delete;
  virtual ~QueuedWork() = default;

  /// As that of Work.
  virtual bool poll(const Waker& wake) = 0;

  /// Gives it to its handler. Once, when it is over.
  virtual void complete() = 0;
};

}  // namespace detail

}  // namespace remsh
