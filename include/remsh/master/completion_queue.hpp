// CompletionQueue: where started operations go on and are told to be over, in threads of the host's choice.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/work.hpp>

#include <cstddef>
#include <functional>
#include <memory>

namespace remsh {

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

  /// Is told, from any thread, when there is something to do after there was nothing: for a host that has a loop of its
  /// own, and calls poll() from there. It must not block, throw or call the library. Set before anything is added.
  void on_ready(std::function<void()> callback);

  /// One operation in a queue; made by Pending::then().
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    virtual ~Entry() = default;
    virtual bool poll(const Waker& wake) = 0;
    virtual void complete() = 0;
  };
  void add(std::unique_ptr<Entry> entry);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace remsh
