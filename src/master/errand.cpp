#include "master/errand.hpp"

#include "os/threads.hpp"

#include <chrono>
#include <utility>

namespace remsh {

namespace {

thread_local std::thread::id acted_for;

/// Unwinds a body whose driver has gone.
struct Left {};

}  // namespace

Errand::Errand(const Patience& patience, std::function<void(Errand&, const Patience&)> body)
    : body_(std::move(body)), patience_(patience) {}

Errand::~Errand() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_left_ = true;
    changed_.notify_all();
  }
  stop_.request_stop();
  thread_.join();
}

std::thread::id Errand::acting_for() noexcept {
  return acted_for == std::thread::id() ? std::this_thread::get_id() : acted_for;
}

void Errand::suspend() {
  if (patience_.stop.stop_possible()) on_stop_.emplace(patience_.stop, [this] { stop_.request_stop(); });
  patience_.stop = stop_.get_token();
  has_thread_ = true;
  thread_ = start_thread("remsh-errand", [this] {
    std::exception_ptr thrown;
    try {
      body_(*this, patience_);
    } catch (...) {
      thrown = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    thrown_ = std::move(thrown);
    is_over_ = true;
    tell(lock);
  });
}

/// Wakes the driver.
void Errand::tell(std::unique_lock<std::mutex>& lock) {
  const Waker wake = std::exchange(wake_, nullptr);
  changed_.notify_all();
  lock.unlock();
  if (wake) wake();
}

void Errand::pass(const std::function<void()>& callback) {
  if (!has_thread_) return callback();  // this is the driver's own thread
  std::unique_lock lock(mutex_);
  callback_ = &callback;
  tell(lock);
  lock.lock();
  changed_.wait(lock, [this] { return callback_ == nullptr || is_left_; });
  if (callback_ != nullptr) throw Left();
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

/// Runs the waiting callbacks. True if the errand is over.
bool Errand::serve(std::unique_lock<std::mutex>& lock) {
  while (callback_ != nullptr) {
    lock.unlock();
    std::exception_ptr thrown;
    const auto before = std::exchange(acted_for, thread_.get_id());
    try {
      (*callback_)();
    } catch (...) {
      thrown = std::current_exception();
    }
    acted_for = before;
    lock.lock();
    thrown_ = std::move(thrown);
    callback_ = nullptr;
    changed_.notify_all();
    if (thrown_) changed_.wait(lock, [this] { return is_over_ || callback_ != nullptr; });  // the body unwinds
  }
  if (is_over_ && thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  return is_over_;
}

bool Errand::poll(const Waker& wake) {
  std::unique_lock lock(mutex_);
  if (serve(lock)) return true;
  wake_ = wake;
  return false;
}

bool Errand::wait_until(TimePoint until) {
  if (!has_thread_) {
    body_(*this, patience_);
    return true;
  }
  std::unique_lock lock(mutex_);
  wake_ = nullptr;
  while (!serve(lock)) {
    const auto is_due = [this] { return callback_ != nullptr || is_over_; };
    if (until == TimePoint::max()) {
      changed_.wait(lock, is_due);
    } else if (!changed_.wait_until(lock, until, is_due)) {
      return false;
    }
  }
  return true;
}

}  // namespace remsh
