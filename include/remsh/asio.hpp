// For programs that use Asio: the outcome of a started operation, by any completion token. Nothing else of remsh
// includes Asio in what is installed, and the library's own copy is not this one.
#pragma once

#include <remsh/master/pending.hpp>

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

/// One operation that goes on by its handler's executor; see async_wait().
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
  /// Called by a thread of remsh's. The operation may be over, and its work_ gone, before that thread is out of post():
  /// so the context has something to do for as long as it can be touched from here, the operation's end included.
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
  asio::strand<Executor> strand_;  // one at a time, also where many threads run the context
  bool is_over_ = false;
};

/// Completes with the outcome of an operation, on the executor that belongs to the token: in a coroutine its own, for a
/// function the one that asio::bind_executor() gives it. The operation's callbacks run there too. It takes part in
/// Asio's cancellation. The context must outlive the operation.
///
///     auto build = slave->start_execute({"make"});
///     auto result = co_await remsh::async_wait(std::move(build), asio::use_awaitable);
///     remsh::async_wait(slave->start_ping(), asio::bind_executor(context, [](std::exception_ptr, auto time) { ... }));
///
/// (Start it in a statement of its own: g++ 12 and older destroy some of what is made within a co_await twice.)
template <class T, class Token>
auto async_wait(Pending<T> pending, Token&& token) {
  return asio::async_initiate<Token, typename AsioOutcome<T>::Signature>(
      [](auto handler, Pending<T> started) {
        std::make_shared<AsioWait<T, decltype(handler)>>(std::move(started), std::move(handler))->start();
      },
      token, std::move(pending));
}

}  // namespace remsh
