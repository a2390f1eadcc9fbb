// CompletionQueue: drives started operations, and calls their handlers, in threads of the host program.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/work.hpp>

#include <cstddef>
#include <functional>
#include <memory>

namespace remsh {

class Command;

template <class T>
class Pending;

/// Drives any number of operations in the threads of the host program that drain it; one thread is enough. The
/// callbacks of the operations and the handlers given to Pending::then() run in these threads, and may start more
/// operations.
///
///     remsh::CompletionQueue queue;
///     for (const auto& slave : slaves.get_all_slaves()) {
///       slave->start_execute({"make"}).then(queue, [slave](auto build) { report(slave->name(), build.wait()); });
///     }
///     queue.run();
///
/// An exception of a handler is thrown by the call that drains the queue; the next call goes on with the next
/// operation. Thread-safe; each operation runs in one thread at a time. The destructor cancels the operations that are
/// left and does not call their handlers. No thread may be draining the queue at that time.
class REMSH_API CompletionQueue {
 public:
  CompletionQueue();
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;
  ~CompletionQueue();

  /// Drains the queue until it is empty, including the operations that handlers add.
  void run();

  /// Waits until there is something to do, and does one piece of it. Returns false if the deadline passes first or the
  /// queue is empty.
  bool run_one(Deadline deadline = {});

  /// Does everything that can be done without waiting.
  void poll();

  /// The number of operations in the queue that are not over.
  [[nodiscard]] std::size_t size() const;

  /// Sets a function that is called from any thread when the queue becomes non-empty, so that a host program with an
  /// event loop can call poll() there. It must not block, throw or call the library. Set it before any operation is
  /// added.
  void on_ready(std::function<void()> callback);

 private:
  friend class Command;
  template <class T>
  friend class Pending;

  struct State;
  void add(std::unique_ptr<detail::QueuedWork> work);

  std::shared_ptr<State> state_;
};

}  // namespace remsh
