// For programs that use Asio: completes any completion token with the outcome of a started operation. No other
// installed header includes Asio, and the library itself uses a separate copy of it.
#pragma once

#include <remsh/base/pending.hpp>

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace remsh {

/// What a Pending<T> completes with.
template <class T>
struct AsioOutcome {
  using Signature = void(std::exception_ptr, T);
};
template <>
struct AsioOutcome<void> {
  using Signature = void(std::exception_ptr);
};

/// One operation in progress, driven on the executor of its handler; see async_wait().
template <class T, class Handler>
class AsioWait : public std::enable_shared_from_this<AsioWait<T, Handler>> {
  using Executor = asio::associated_executor_t<Handler>;
  static_assert(!std::is_same_v<Executor, asio::system_executor>,
                "tell where the operation is to go on: asio::bind_executor(context, handler)");

 public:
  AsioWait(Pending<T> pending, Handler handler)
      : pending_(std::move(pending)),
        handler_(std::move(handler)),
        work_(asio::get_associated_executor(handler_)),
        strand_(work_.get_executor()) {}

  void start() {
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected()) {
      slot.assign([weak = this->weak_from_this()](asio::cancellation_type) {
        if (const auto self = weak.lock()) asio::post(self->strand_, [self] { self->cancel(); });
      });
    }
    step_soon();
  }

 private:
  /// Called by a thread of remsh. The operation may end, and its work_ be gone, before that thread has returned from
  /// post(). So this object keeps the context busy with a work guard of its own.
  struct Waker {
    asio::executor_work_guard<Executor> work;
    std::shared_ptr<AsioWait> operation;
    void operator()() const { operation->step_soon(); }
  };

  void step_soon() {
    asio::post(strand_, [self = this->shared_from_this()] { self->step(); });
  }

  void step() {
    if (is_over_) return;
    if (pending_.poll(Waker{asio::make_work_guard(strand_.get_inner_executor()), this->shared_from_this()})) finish();
  }

  void cancel() {
    if (is_over_) return;
    pending_.cancel();
    finish();
  }

  void finish() {
    is_over_ = true;
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected()) slot.clear();
    if constexpr (std::is_void_v<T>) {
      std::exception_ptr error;
      try {
        pending_.wait();
      } catch (...) {
        error = std::current_exception();
      }
      complete([error](Handler& handler) { std::move(handler)(error); });
    } else {
      std::exception_ptr error;
      T outcome{};
      try {
        outcome = pending_.wait();
      } catch (...) {
        error = std::current_exception();
      }
      complete([error, outcome = std::move(outcome)](Handler& handler) mutable {
        std::move(handler)(error, std::move(outcome));
      });
    }
  }

  template <class Call>
  void complete(Call call) {
    asio::dispatch(work_.get_executor(),
                   [handler = std::move(handler_), call = std::move(call)]() mutable { call(handler); });
    work_.reset();
  }

  Pending<T> pending_;
  Handler handler_;
  asio::executor_work_guard<Executor> work_;
  asio::strand<Executor> strand_;  // one step at a time, even if many threads run the context
  bool is_over_ = false;
};

/// Completes with the outcome of an operation, on the executor associated with the token: in a coroutine its own, for a
/// function the one set by asio::bind_executor(). The operation's callbacks run there too. Supports Asio's
/// cancellation. The context must outlive the operation.
///
///     auto build = slave->start_execute({"make"});
///     auto result = co_await remsh::async_wait(std::move(build), asio::use_awaitable);
///     remsh::async_wait(slave->start_ping(), asio::bind_executor(context, [](std::exception_ptr, auto time) { ... }));
///
/// (Start the operation in a separate statement: g++ 12 and older destroy some temporaries of a co_await expression
/// twice.)
template <class T, class Token>
auto async_wait(Pending<T> pending, Token&& token) {
  return asio::async_initiate<Token, typename AsioOutcome<T>::Signature>(
      [](auto handler, Pending<T> started) {
        std::make_shared<AsioWait<T, decltype(handler)>>(std::move(started), std::move(handler))->start();
      },
      token, std::move(pending));
}

}  // namespace remsh
