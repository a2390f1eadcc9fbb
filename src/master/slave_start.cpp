#include "master/slave_start.hpp"

#include "base/throw_failure.hpp"

#include <optional>
#include <stop_token>
#include <utility>

namespace remsh {

namespace {

const Failure cancelled_by_caller{Errc::cancelled, "the caller cancelled it", 0};

}  // namespace

/// The caller's Pending.
class SlaveStart::Work final : public detail::PendingWork<std::shared_ptr<Slave>> {
 public:
  Work(std::shared_ptr<SlaveStart> start, const std::stop_token& stop) : start_(std::move(start)) {
    on_stop_.emplace(stop, OnStop{start_.get()});
  }
  ~Work() override { cancel(); }

  void suspend() override {}

  bool poll(const Waker& wake) override {
    const std::lock_guard lock(start_->mutex_);
    if (start_->state_ == State::over) return true;
    start_->waker_ = wake;
    return false;
  }

  bool wait_until(TimePoint until) override {
    std::unique_lock lock(start_->mutex_);
    const auto is_over = [this] { return start_->state_ == State::over; };
    if (until != TimePoint::max()) return start_->changed_.wait_until(lock, until, is_over);
    start_->changed_.wait(lock, is_over);
    return true;
  }

  void cancel() override {
    {
      const std::lock_guard lock(start_->mutex_);
      start_->waker_ = nullptr;
      is_cancelled_ = start_->state_ != State::over;
    }
    start_->fail(cancelled_by_caller);
  }

  std::shared_ptr<Slave> take() override {
    if (is_cancelled_) throw_failure(cancelled_by_caller, start_->name_, start_->operation_);
    const std::lock_guard lock(start_->mutex_);
    if (!start_->outcome_) throw_failure(start_->outcome_.failure(), start_->name_, start_->operation_);
    return *std::move(start_->outcome_);
  }

 private:
  struct OnStop {
    SlaveStart* start;
    void operator()() const { start->fail({Errc::cancelled, "stopped before it came", 0}); }
  };

  const std::shared_ptr<SlaveStart> start_;
  bool is_cancelled_ = false;
  std::optional<std::stop_callback<OnStop>> on_stop_;  // last: it is destroyed first
};

void SlaveStart::come(std::shared_ptr<Slave> slave) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::starting) return;
    state_ = State::ending;
  }
  finish(std::move(slave));
}

void SlaveStart::fail(Failure failure) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::starting) return;
    state_ = State::ending;
  }
  owner_.runtime.admission_threads().post([self = shared_from_this(), failure = std::move(failure)]() mutable {
    self->finish(self->owner_.end_program(std::move(failure)));
  });
}

void SlaveStart::limit(Deadline deadline, std::string words) {
  if (deadline.is_never()) return;
  const auto& loop = owner_.runtime.loop();
  const auto timer = loop->at(deadline.at(), [weak = weak_from_this(), words = std::move(words)] {
    if (const auto self = weak.lock()) self->fail({Errc::timeout, words, 0});
  });
  const std::lock_guard lock(mutex_);
  timer_ = timer;
}

void SlaveStart::finish(Result<std::shared_ptr<Slave>> outcome) {
  Waker waker;
  std::optional<Loop::TimerId> timer;
  {
    const std::lock_guard lock(mutex_);
    outcome_ = std::move(outcome);
    state_ = State::over;
    waker.swap(waker_);
    timer = std::exchange(timer_, std::nullopt);
    changed_.notify_all();
  }
  if (timer) owner_.runtime.loop()->cancel(*timer);
  if (waker) waker();
  owner_.on_over();
}

Pending<std::shared_ptr<Slave>> SlaveStart::pending(std::shared_ptr<SlaveStart> start, const std::stop_token& stop) {
  return Pending<std::shared_ptr<Slave>>(std::make_unique<Work>(std::move(start), stop));
}

}  // namespace remsh
