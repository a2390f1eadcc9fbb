// Pending<T>: an operation that was started, and whose outcome has not been taken yet.
#pragma once

#include <remsh/base/completion_queue.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/work.hpp>

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace remsh {

/// An operation that was started. It uses no thread. Get its outcome with wait(), or have a CompletionQueue deliver it.
///
///     auto build = first->start_execute({"make"});
///     auto tests = second->start_execute({"make", "check"});
///     if (build.wait().ok() && tests.wait().ok()) ...
///
/// The operation begins at once. Its callbacks (output, input, progress) run in the thread that waits, polls or drains
/// the queue; until then the slave goes on only as far as its credit allows. Destroying the Pending before the
/// operation is over cancels it. The Pending keeps the handle of its slave. Movable, not copyable; one thread at a
/// time. To cancel the operation from another thread, give it a stop_token.
template <class T>
class [[nodiscard]] Pending {
 public:
  explicit Pending(std::unique_ptr<detail::PendingWork<T>> work) : work_(std::move(work)) {}

  /// Waits until the operation is over, and returns or throws what its blocking form would. Call it once.
  T wait() {
    wait_until(block);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if (!work_) throw Error(Errc::invalid_argument, "", "wait", "the outcome of this operation was taken before");
    const auto work = std::move(work_);
    return work->take();
  }

  /// Waits until the operation is over, so that wait() returns at once. Returns false if the deadline passes first; the
  /// operation goes on.
  bool wait_until(Deadline deadline) {
    return advance([&] { return work_->wait_until(deadline.at()); });
  }

  /// Does everything that can be done without waiting. Returns true if the operation is over. Otherwise `wake` will be
  /// called once, from any thread; it must not block, throw or call the library. For event loops; see CompletionQueue
  /// and remsh/asio.hpp.
  bool poll(const Waker& wake) {
    return advance([&] { return work_->poll(wake); });
  }

  /// True if the operation is known to be over: wait() will not block.
  [[nodiscard]] bool is_done() const noexcept { return done_; }

  /// Cancels the operation if it is not over: wait() then throws Cancelled, and the slave stops it.
  void cancel() {
    if (done_ || !work_) return;
    work_->cancel();
    done_ = true;
  }

  /// Moves the operation into a queue. When it is over, the handler gets it back, in a thread that drains the queue:
  ///
  ///     slave->start_execute({"make"}).then(queue, [](auto build) { print(build.wait()); });
  template <class Handler>
  requires std::is_invocable_v<Handler&, Pending>
  void then(CompletionQueue& queue, Handler handler) && {
    queue.add(std::make_unique<Then<Handler>>(std::move(*this), std::move(handler)));
  }

 private:
  template <class Handler>
  class Then final : public detail::QueuedWork {
   public:
    Then(Pending pending, Handler handler) : pending_(std::move(pending)), handler_(std::move(handler)) {}
    bool poll(const Waker& wake) override { return pending_.poll(wake); }
    void complete() override { handler_(std::move(pending_)); }

   private:
    Pending pending_;
    Handler handler_;
  };

  template <class Step>
  bool advance(Step step) {
    if (done_ || !work_) return true;
    try {
      done_ = step();
    } catch (...) {  // from a callback
      error_ = std::current_exception();
      work_.reset();
      done_ = true;
    }
    return done_;
  }

  std::unique_ptr<detail::PendingWork<T>> work_;
  std::exception_ptr error_;
  bool done_ = false;
};

}  // namespace remsh
