// Waker, and the internals of Pending and CompletionQueue, which are not for users.
#pragma once

#include <remsh/base/deadline.hpp>

#include <functional>

namespace remsh {

/// Called once, from any thread, when polling again may make progress. It must not block, throw or call the library.
using Waker = std::function<void()>;

namespace detail {

/// An operation in progress, driven by the thread that wants its outcome. The user's callbacks run in that thread, and
/// their exceptions come out of the call that drives it; then the work is over. Destroying it before it is over cancels
/// it. One thread at a time. A Pending holds one.
class Work {
 public:
  Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual ~Work() = default;

  /// No thread waits for it now: it goes on by itself, as far as it can without its callbacks. Before the first poll().
  virtual void suspend() = 0;

  /// Does everything that can be done without waiting. Returns true if it is over; otherwise `wake` will be called.
  virtual bool poll(const Waker& wake) = 0;

  /// Waits until it is over. Returns false if `until` passes first.
  virtual bool wait_until(TimePoint until) = 0;
};

/// Work with an outcome.
template <class T>
class WorkOf : public Work {
 public:
  using Outcome = T;

  /// Returns the outcome, or throws if it failed. Call it once, when it is over.
  virtual T take() = 0;
};

/// The work of a Pending.
template <class T>
class PendingWork : public WorkOf<T> {
 public:
  /// Cancels it if it is not over: take() then throws Cancelled.
  virtual void cancel() = 0;
};

/// Work in a CompletionQueue.
class QueuedWork {
 public:
  QueuedWork() = default;
  QueuedWork(const QueuedWork&) = delete;
  QueuedWork& operator=(const QueuedWork&) = delete;
  virtual ~QueuedWork() = default;

  /// As Work::poll().
  virtual bool poll(const Waker& wake) = 0;

  /// Calls its handler. Call it once, when it is over.
  virtual void complete() = 0;
};

}  // namespace detail

}  // namespace remsh
