#include "master/remsh1_turn.hpp"

#include "base/seconds.hpp"
#include "master/errand.hpp"
#include "remsh1/error_text.hpp"

#include <cassert>
#include <chrono>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// How long the slave may take to receive the rest of a file whose sender has left.
constexpr std::chrono::seconds longest_rest{30};

}  // namespace

template <class Condition>
bool Remsh1Backend::Turn::wait(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                               Condition condition) const {
  if (options_.deadline.is_never()) return changed.wait(lock, options_.stop, condition);
  if (condition() || options_.deadline.has_passed(backend_.loop_->now())) return condition();
  return changed.wait_until(lock, options_.stop, options_.deadline.at(), condition);
}

Failure Remsh1Backend::Turn::impatience() const {
  if (options_.stop.stop_requested()) return {Errc::cancelled, "cancelled by the caller", 0};
  return {Errc::timeout, deadline_passed(begun_, options_.deadline.at()), 0};
}

Result<void> Remsh1Backend::Turn::take() {
  std::unique_lock lock(backend_.mutex_);
  if (!backend_.link_.is_open() && !backend_.end_) return remsh1::lost_because("the slave is not registered yet");
  if (backend_.holder_ == Holder::caller && backend_.holding_ == Errand::acting_for()) {
    return remsh1::unsupported("does one thing at a time, and this is asked in a callback of another");
  }
  has_turn_ = wait(lock, backend_.turn_changed_, [this] {
    return backend_.end_ || (backend_.holder_ == Holder::nobody && !backend_.is_any_before(number_));
  });
  if (!has_turn_) {
    outwaited_ = true;
    return impatience();
  }
  if (backend_.end_) {
    has_turn_ = false;
    return *backend_.end_;
  }
  backend_.holder_ = Holder::caller;
  backend_.holding_ = Errand::acting_for();
  ++backend_.turns_;
  return {};
}

Result<Box> Remsh1Backend::Turn::ask(const Bytes& command, const Box& arguments) {
  {
    const std::lock_guard lock(backend_.mutex_);
    if (backend_.end_) return *backend_.end_;
    if (is_impatient()) return impatience();  // before anything is sent
    backend_.write(backend_.session_.begin(command, arguments));
  }
  return answer();
}

Result<Box> Remsh1Backend::Turn::answer() {
  auto event = next();
  if (!event) return std::move(event).failure();
  if (event->kind == Event::Kind::failed) return remsh1::failure_of(event->text);
  assert(event->kind == Event::Kind::answered);  // the session accepts no other event here
  return std::move(event->results);
}

Result<Remsh1Backend::Event> Remsh1Backend::Turn::next() {
  std::unique_lock lock(backend_.mutex_);
  wait(lock, backend_.happened_, [this] { return !backend_.events_.empty() || backend_.end_; });
  // A caller that wants to leave does so even if output never ends. If the call is over, it gets the result first.
  const bool has_event = !backend_.events_.empty();
  if (is_impatient() && !(has_event && backend_.session_.is_idle()) && !backend_.end_) return impatience();
  if (!has_event) return *backend_.end_;
  Event event = std::move(backend_.events_.front());
  backend_.events_.pop_front();
  backend_.queued_ -= remsh1::weight(event);
  backend_.limit_reading();
  return event;
}

Result<void> Remsh1Backend::Turn::feed(BytesView bytes) {
  std::unique_lock lock(backend_.mutex_);
  wait(lock, backend_.happened_,
       [this] { return backend_.link_.unwritten() < remsh1::max_unwritten || backend_.end_; });
  if (backend_.end_) return *backend_.end_;
  if (is_impatient()) return impatience();
  backend_.write(backend_.session_.data(bytes));
  return {};
}

Result<Box> Remsh1Backend::Turn::finish() {
  {
    const std::lock_guard lock(backend_.mutex_);
    if (backend_.end_) return *backend_.end_;
    backend_.write(backend_.session_.finish());
  }
  return answer();
}

void Remsh1Backend::Turn::at_end(Bytes command, Box arguments, bool is_vital) {
  const std::lock_guard lock(backend_.mutex_);
  backend_.last_calls_.push_back({std::move(command), std::move(arguments), is_vital});
}

void Remsh1Backend::Turn::forget_last_calls() {
  const std::lock_guard lock(backend_.mutex_);
  backend_.last_calls_.clear();
}

Remsh1Backend::Turn::~Turn() {
  const std::lock_guard lock(backend_.mutex_);
  if (has_turn_) {
    backend_.events_.clear();
    backend_.queued_ = 0;
    backend_.holder_ = Holder::io_thread;
    backend_.is_vital_ = false;
    if (backend_.session_.is_executing() && !is_brief_) {
      backend_.declare_end(remsh1::lost_because(
          "its caller has left a command, and in remsh 1 only the end of the connection stops a command", 0,
          DisconnectReason::closed_here));
    } else if (backend_.session_.is_sending()) {
      const TimePoint limit = backend_.loop_->now() + longest_rest;
      backend_.loop_->at(limit, [weak = backend_.weak_from_this(), turn = backend_.turns_] {
        const auto self = weak.lock();
        if (!self) return;
        const std::lock_guard inner(self->mutex_);
        if (self->turns_ != turn || self->holder_ != Holder::io_thread) return;
        self->declare_end(remsh1::lost_because("it does not take the rest of a file whose sender has left", 0,
                                               DisconnectReason::silent));
      });
    }
    backend_.continue_turn();
    backend_.limit_reading();
  }
  if (--backend_.inside_ == 0) backend_.left_.notify_all();
}

}  // namespace remsh
