// CompletionQueue: drives started operations, and calls their handlers, in threads of the host's choice.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/work.hpp>

#include <cstddef>
#include <functional>
#include <memory>

namespace remsh {

template <class T>
class Pending;

/// Drives any number of operations in the threads that drain it, which are the host's: one is enough. The operations'
/// callbacks and the handlers given to Pending::then() run there, and may start more.
///
///     remsh::CompletionQueue queue;
///     for (const auto& slave : slaves.get_all_slaves()) {
///       slave->start_execute({"make"}).then(queue, [slave](auto build) { report(slave->name(), build.wait()); });
///     }
///     queue.run();
///
/// What a handler throws comes out of the call that drains; the queue goes on with the next one. Thread-safe; no two
/// threads are in one operation at once. Destroyed, it cancels what is left, whose handlers are not called; nobody
/// drains it then.
class REMSH_API CompletionQueue {
 public:
  CompletionQueue();
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;
  ~CompletionQueue();

  /// Drains until nothing is left, also of what handlers add.
  void run();

  /// Waits until there is something to do, and does one piece of it. False: nothing until the deadline, or nothing is
  /// left.
  bool run_one(Deadline deadline = {});

  /// Does what there is to do now, without waiting.
  void poll();

  /// How many operations are in it and not over.
  [[nodiscard]] std::size_t size() const;

  /// Called from any thread when the queue gets something to do after it had nothing: for a host that has a loop of its
  /// own, and calls poll() from there. It must not block, throw or call the library. Set it before anything is added.
  void on_ready(std::function<void()> callback);

 private:
  template <class T>
  friend class Pending;

  struct State;
  void add(std::unique_ptr<detail::QueuedWork> work);

  std::shared_ptr<State> state_;
};

}  // namespace remsh
