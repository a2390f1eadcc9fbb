#include "master/slave_notices.hpp"

#include "os/service_threads.hpp"
#include "transport/loop.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// How many callbacks of on_change() this thread is in.
thread_local int callbacks_entered = 0;

}  // namespace

struct SlaveNotices::Threads {
  std::shared_ptr<Loop> loop = Loop::start();  // for the timers of the service threads
  ServiceThreads service{{.most = 256}, [loop = loop](Duration wait, std::function<void()> function) {
                           loop->at(loop->now() + wait, std::move(function));
                         }};

  void stop() {
    service.stop();
    loop->stop();
  }
};

struct SlaveSubscription::State {
  State(std::weak_ptr<SlaveNotices> from, SlaveNotices::Callback function)
      : notices(std::move(from)), callback(std::move(function)) {}

  /// True if the caller must post deliver().
  bool push(const SlaveNotice& notice) {
    const std::lock_guard lock(mutex);
    if (is_cancelled) return false;
    if (queue.size() >= SlaveNotices::most_queued) {
      ++missed;
    } else {
      queue.push_back(notice);
      queue.back().missed = std::exchange(missed, 0);
    }
    return !std::exchange(is_scheduled, true);
  }

  /// deliver() could not be posted: the next push() tries again.
  void post_failed() noexcept {
    const std::lock_guard lock(mutex);
    is_scheduled = false;
  }

  void note_missed() noexcept {
    const std::lock_guard lock(mutex);
    ++missed;
  }

  /// Calls the callback for every queued notice. On a service thread; never on two at once.
  void deliver() noexcept {
    std::unique_lock lock(mutex);
    while (!is_cancelled && !queue.empty()) {
      SlaveNotice notice = std::move(queue.front());
      queue.pop_front();
      is_running = true;
      lock.unlock();
      ++callbacks_entered;
      try {
        callback(notice);
      } catch (...) {  // NOLINT(bugprone-empty-catch): there is no caller to report it to
      }
      --callbacks_entered;
      notice = {};  // without the mutex, as it may hold the last reference to the slave
      lock.lock();
      is_running = false;
      returned.notify_all();
    }
    is_scheduled = false;
    if (!is_cancelled) return;
    const SlaveNotices::Callback dropped = std::exchange(callback, nullptr);
    lock.unlock();
  }

  void cancel() noexcept {
    if (const auto from = notices.lock()) from->remove(*this);
    std::deque<SlaveNotice> dropped;
    SlaveNotices::Callback function;
    std::unique_lock lock(mutex);
    is_cancelled = true;
    dropped.swap(queue);
    if (callbacks_entered == 0) returned.wait(lock, [this] { return !is_running; });
    if (!is_running) function = std::exchange(callback, nullptr);
    lock.unlock();
  }

  const std::weak_ptr<SlaveNotices> notices;
  std::mutex mutex;
  std::condition_variable returned;
  SlaveNotices::Callback callback;
  std::deque<SlaveNotice> queue;
  std::uint64_t missed = 0;
  bool is_scheduled = false;  // deliver() was posted, or is running
  bool is_running = false;    // the callback is running
  bool is_cancelled = false;
};

SlaveSubscription::SlaveSubscription() noexcept = default;
SlaveSubscription::SlaveSubscription(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
SlaveSubscription::SlaveSubscription(SlaveSubscription&&) noexcept = default;

SlaveSubscription& SlaveSubscription::operator=(SlaveSubscription&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

SlaveSubscription::~SlaveSubscription() { cancel(); }

void SlaveSubscription::cancel() noexcept {
  if (state_) state_->cancel();
}

SlaveNotices::SlaveNotices() = default;
SlaveNotices::~SlaveNotices() = default;

SlaveSubscription SlaveNotices::subscribe(Callback callback) {
  if (!callback) throw Error(Errc::invalid_argument, {}, "on_change", "there is no callback");
  auto state = std::make_shared<State>(weak_from_this(), std::move(callback));
  const std::lock_guard lock(mutex_);
  if (!threads_) threads_ = std::make_unique<Threads>();
  subscriptions_.push_back(state);
  has_subscribers_ = true;
  return SlaveSubscription(std::move(state));
}

void SlaveNotices::queue(const SlaveNotice& notice) {
  const std::lock_guard lock(mutex_);
  for (const auto& subscription : subscriptions_) {
    if (!subscription->push(notice)) continue;
    try {
      threads_->service.post([subscription] { subscription->deliver(); });
    } catch (...) {
      subscription->post_failed();
    }
  }
}

void SlaveNotices::note_missed() noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& subscription : subscriptions_) subscription->note_missed();
}

void SlaveNotices::remove(const State& subscription) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(subscriptions_, [&](const auto& one) { return one.get() == &subscription; });
  has_subscribers_ = !subscriptions_.empty();
}

void SlaveNotices::close() {
  std::unique_ptr<Threads> threads;
  std::vector<std::shared_ptr<State>> dropped;
  {
    const std::lock_guard lock(mutex_);
    has_subscribers_ = false;
    threads.swap(threads_);
    dropped.swap(subscriptions_);
  }
  if (threads) threads->stop();  // after the callbacks of all published notices have returned
}

bool SlaveNotices::is_this_thread() const {
  const std::lock_guard lock(mutex_);
  return threads_ && threads_->service.is_this_thread();
}

}  // namespace remsh
