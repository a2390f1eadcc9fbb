// StartedWork: what all started works have in common.
#pragma once

#include "base/clock.hpp"
#include "base/patience.hpp"
#include "base/result.hpp"
#include "base/time_left.hpp"
#include "messages/bell.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/work.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace remsh::messages {

/// The time that a wait may last before the deadline and the stop token are looked at again.
inline Duration next_wait(TimePoint until, const std::stop_token& stop) {
  const Duration left = time_left(Deadline(until));
  return stop.stop_possible() ? std::min(left, Transport::slice) : left;
}

/// Why a wait is over before its time; nullopt if it is not. `what`: "for a message".
inline std::optional<Failure> fault_of(const Patience& patience, const char* what) {
  if (patience.stop.stop_requested()) return Failure{Errc::cancelled, std::string("stopped while waiting ") + what, 0};
  if (patience.deadline.has_passed(real_clock().now())) {
    return Failure{Errc::timeout, std::string("timed out while waiting ") + what, 0};
  }
  return std::nullopt;
}

/// Steps until it is over, in the thread of a caller that waits; returns why it was given up before. Each step gets the
/// time that it may wait, and returns true when it is over.
template <class Step>
std::optional<Failure> wait_for(const Patience& patience, const char* what, const Step& step) {
  for (;;) {
    auto done = step(next_wait(patience.deadline.at(), patience.stop));
    if (!done) return std::move(done).failure();
    if (*done) return std::nullopt;
    if (auto fault = fault_of(patience, what)) return fault;
  }
}

/// Throws the exception for a failure of a connection.
[[noreturn]] void throw_message_failure(const Failure& failure, const char* operation);

/// A started work. The derived class says how it goes on. One thread at a time.
template <class T>
class StartedWork : public detail::PendingWork<T> {
 public:
  explicit StartedWork(Patience patience) : patience_(std::move(patience)) {}

  /// Does what can be done at once. Call it once, first.
  void begin() { advance(Duration::zero()); }

  void suspend() override {}

  bool poll(const Waker& wake) override {
    bell_->set(wake);  // first, so that an event during the step still rings
    if (advance(Duration::zero())) return true;
    if (!loop_) loop_ = io_loop();
    watch(*loop_, bell_);
    if (!patience_.deadline.is_never() && !timer_) {
      timer_ = loop_->at(patience_.deadline.at(), [bell = bell_] { bell->ring(); });
    }
    if (patience_.stop.stop_possible() && !on_stop_) on_stop_.emplace(patience_.stop, Ring{bell_});
    return false;
  }

  bool wait_until(TimePoint until) override {
    for (;;) {
      if (advance(next_wait(std::min(until, patience_.deadline.at()), patience_.stop))) return true;
      if (until != TimePoint::max() && real_clock().now() >= until) return false;
    }
  }

  void cancel() override {
    if (!is_over_) end(Failure{Errc::cancelled, "cancelled here", 0});
  }

  T take() override {
    if (failure_) throw_message_failure(*failure_, operation());
    return outcome();
  }

 protected:
  ~StartedWork() override {
    on_stop_.reset();
    if (timer_) loop_->cancel(*timer_);
    bell_->set(nullptr);
  }

  /// Goes on, and waits for at most this long. Returns true when it is over.
  virtual Result<bool> step(Duration wait) = 0;

  /// The loop that watches for it.
  virtual std::shared_ptr<Loop> io_loop() = 0;

  /// Has the bell rung when it can go on.
  virtual void watch(Loop& loop, const std::shared_ptr<Bell>& bell) = 0;

  /// It is over: gives back what it has taken. Returns true if it was done after all, by another thread.
  virtual bool leave() noexcept = 0;

  virtual T outcome() = 0;
  [[nodiscard]] virtual const char* operation() const noexcept = 0;
  [[nodiscard]] virtual const char* waits_for() const noexcept = 0;

  [[nodiscard]] bool is_over() const noexcept { return is_over_; }
  [[nodiscard]] const std::shared_ptr<Bell>& bell() const noexcept { return bell_; }

 private:
  struct Ring {
    std::shared_ptr<Bell> bell;
    void operator()() const { bell->ring(); }
  };

  bool advance(Duration wait) {
    if (is_over_) return true;
    auto done = step(wait);
    if (!done) return end(std::move(done).failure());
    if (*done) return end(std::nullopt);
    auto fault = fault_of(patience_, waits_for());
    return fault && end(std::move(fault));
  }

  bool end(std::optional<Failure> failure) {
    failure_ = std::move(failure);
    is_over_ = true;
    if (leave()) failure_.reset();
    return true;
  }

  const Patience patience_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  std::shared_ptr<Loop> loop_;  // set by the first poll()
  std::optional<Loop::TimerId> timer_;
  std::optional<std::stop_callback<Ring>> on_stop_;
  std::optional<Failure> failure_;
  bool is_over_ = false;
};

}  // namespace remsh::messages
