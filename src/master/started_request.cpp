#include "master/started_request.hpp"

#include "base/clock.hpp"
#include "os/threads.hpp"

#include <remsh/base/error.hpp>

#include <type_traits>
#include <utility>

namespace remsh {

StartedRequest::StartedRequest(std::shared_ptr<SlavePool> pool, std::shared_ptr<StartedRequests> requests,
                               ReserveOptions options, bool alone)
    : pool_(std::move(pool)),
      requests_(std::move(requests)),
      options_(std::move(options)),
      deadline_(options_.deadline.begin()),
      wish_{options_.filter,
            options_.compare,
            stop_.get_token(),
            options_.explain,
            {.share = share_of(options_.slots, options_.resources, alone), .alone = alone, .owner = options_.owner}},
      lease_maker_(pool_) {
  request_.emplace(*pool_, *this, wish_, deadline_);
}

StartedRequest::~StartedRequest() = default;

void StartedRequest::OnStop::operator()() const noexcept {
  request->stop_.request_stop();
  request->requests_->wake(*request);
}

void StartedRequest::wake() noexcept { requests_->wake(*this); }

/// True if the request is done. Called without the mutex of StartedRequests.
bool StartedRequest::step() {
  try {
    if (!request_->step()) return false;
    if (const auto& entry = request_->result()) {
      if (wish_.demand.alone) lease_ = lease_maker_.make(*entry, request_->lease(), !wish_.demand.share.empty());
      slave_ = entry->slave;
    }
  } catch (...) {
    error_ = std::current_exception();
  }
  request_.reset();
  return true;
}

/// Releases everything that the request holds; it is done, and its outcome is not wanted.
void StartedRequest::drop() {
  request_.reset();
  lease_.release();
  slave_ = nullptr;
  error_ = nullptr;
}

void StartedRequests::stop() {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    thread.swap(thread_);
    parking_.unpark();
  }
  if (thread.joinable()) thread.join();
  std::unique_lock lock(mutex_);
  while (!ready_.empty() || !others_.empty()) {
    auto request = ready_.empty() ? others_.front() : ready_.front();
    begin(*request);
    lock.unlock();
    request->request_.reset();
    request->error_ = std::make_exception_ptr(
        Cancelled(Errc::cancelled, {}, request->wish_.operation(), "the SlaveCollection was destroyed"));
    lock.lock();
    finish(*request, lock);
    lock.unlock();
    request.reset();
    lock.lock();
  }
}

bool StartedRequests::is_this_thread() const {
  const std::lock_guard lock(mutex_);
  return thread_.get_id() == std::this_thread::get_id();
}

void StartedRequests::add(const std::shared_ptr<StartedRequest>& request) {
  // First, so that a stop that was requested before ends the request before it looks at any slave.
  request->on_stop_.emplace(request->options_.stop, StartedRequest::OnStop{request.get()});
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = start_thread("remsh-requests", [this] { run(); });
  const TimePoint until = request->deadline_.at();
  if (until != TimePoint::max()) request->timer_ = timers_.emplace(until, request.get());
  try {
    request->place_ = ready_.insert(ready_.end(), request);
  } catch (...) {
    if (request->timer_) timers_.erase(*request->timer_);
    throw;
  }
  // The first step runs in this thread: after it the request is done, or has its place in the queue.
  step(*request, lock);
  parking_.unpark();  // for its deadline
}

bool StartedRequests::poll(StartedRequest& request, const Waker& wake) {
  const std::lock_guard lock(mutex_);
  if (request.state_ == StartedRequest::State::done) return true;
  request.waker_ = wake;
  return false;
}

bool StartedRequests::wait_until(StartedRequest& request, TimePoint until) {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (request.state_ == StartedRequest::State::done) return true;
      request.waker_ = nullptr;
    }
    if (!request.done_.park_until(until)) return poll(request, nullptr);
  }
}

void StartedRequests::cancel(StartedRequest& request) {
  request.stop_.request_stop();
  std::unique_lock lock(mutex_);
  request.cancelled_ = true;
  request.waker_ = nullptr;
  if (request.state_ == StartedRequest::State::running) {
    if (thread_.get_id() == std::this_thread::get_id()) return;  // run() drops it
    while (request.state_ == StartedRequest::State::running) {
      lock.unlock();
      request.done_.park();
      lock.lock();
    }
  }
  if (request.state_ != StartedRequest::State::done) finish(request, lock);
  lock.unlock();
  request.drop();
}

/// May be called with the mutex of the pool held, and by a stop callback.
void StartedRequests::wake(StartedRequest& request) noexcept {
  const std::lock_guard lock(mutex_);
  if (request.state_ == StartedRequest::State::running) request.woken_ = true;
  if (request.state_ == StartedRequest::State::waiting) make_ready(request);
}

void StartedRequests::make_ready(StartedRequest& request) noexcept {
  request.state_ = StartedRequest::State::ready;
  ready_.splice(ready_.end(), others_, request.place_);
  parking_.unpark();
}

/// Marks the request as running, in this thread, and in no other until its state changes again.
void StartedRequests::begin(StartedRequest& request) noexcept {
  List& list = request.state_ == StartedRequest::State::ready ? ready_ : others_;
  others_.splice(others_.end(), list, request.place_);
  request.state_ = StartedRequest::State::running;
  request.woken_ = false;
}

/// Removes a request that is done from the lists. The caller keeps it alive. Its waker is called without the mutex.
void StartedRequests::finish(StartedRequest& request, std::unique_lock<std::mutex>& lock) {
  const bool was_ready = request.state_ == StartedRequest::State::ready;
  request.state_ = StartedRequest::State::done;
  if (request.timer_) timers_.erase(*std::exchange(request.timer_, std::nullopt));
  (was_ready ? ready_ : others_).erase(request.place_);
  const Waker waker = std::exchange(request.waker_, nullptr);
  request.done_.unpark();
  lock.unlock();
  if (waker) waker();
  lock.lock();
}

/// Makes requests ready whose deadline has passed. Returns the next deadline.
TimePoint StartedRequests::expire(TimePoint now) noexcept {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    StartedRequest& request = *timers_.begin()->second;
    timers_.erase(*std::exchange(request.timer_, std::nullopt));
    if (request.state_ == StartedRequest::State::waiting) make_ready(request);
  }
  return timers_.empty() ? TimePoint::max() : timers_.begin()->first;
}

/// Runs one step of a ready request. The caller keeps it alive.
void StartedRequests::step(StartedRequest& request, std::unique_lock<std::mutex>& lock) {
  begin(request);
  lock.unlock();
  bool is_done = request.step();
  lock.lock();
  if (request.cancelled_) {
    lock.unlock();
    request.drop();
    lock.lock();
    is_done = true;
  }
  if (is_done) return finish(request, lock);
  request.state_ = StartedRequest::State::waiting;
  if (request.woken_) make_ready(request);
}

void StartedRequests::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const TimePoint next_deadline = expire(real_clock().now());
    if (ready_.empty()) {
      lock.unlock();
      parking_.park_until(next_deadline);
      lock.lock();
      continue;
    }
    auto request = ready_.front();
    step(*request, lock);
    lock.unlock();
    request.reset();  // it may be the last reference
    lock.lock();
  }
}

namespace {

template <class T>
class StartedWork final : public detail::PendingWork<T> {
 public:
  StartedWork(const std::shared_ptr<SlavePool>& pool, const std::shared_ptr<StartedRequests>& requests,
              ReserveOptions options)
      : requests_(requests),
        request_(std::make_shared<StartedRequest>(pool, requests, std::move(options), std::is_same_v<T, Lease>)) {
    requests_->add(request_);
  }
  ~StartedWork() override { requests_->cancel(*request_); }

  void suspend() override {}
  bool poll(const Waker& wake) override { return requests_->poll(*request_, wake); }
  bool wait_until(TimePoint until) override { return requests_->wait_until(*request_, until); }
  void cancel() override {
    requests_->cancel(*request_);
    is_cancelled_ = true;
  }
  T take() override {
    if (is_cancelled_) throw Cancelled(Errc::cancelled, {}, request_->operation(), "the caller cancelled it");
    return request_->take<T>();
  }

 private:
  const std::shared_ptr<StartedRequests> requests_;
  const std::shared_ptr<StartedRequest> request_;
  bool is_cancelled_ = false;
};

}  // namespace

Pending<std::shared_ptr<Slave>> StartedRequests::start_get_slave(const std::shared_ptr<SlavePool>& pool,
                                                                 const std::shared_ptr<StartedRequests>& requests,
                                                                 GetSlaveOptions options) {
  return Pending<std::shared_ptr<Slave>>(
      std::make_unique<StartedWork<std::shared_ptr<Slave>>>(pool, requests,
                                                            ReserveOptions{.filter = std::move(options.filter),
                                                                           .compare = std::move(options.compare),
                                                                           .deadline = options.deadline,
                                                                           .stop = std::move(options.stop),
                                                                           .explain = options.explain,
                                                                           .slots = options.slots,
                                                                           .resources = std::move(options.resources)}));
}

Pending<Lease> StartedRequests::start_reserve(const std::shared_ptr<SlavePool>& pool,
                                              const std::shared_ptr<StartedRequests>& requests,
                                              ReserveOptions options) {
  return Pending<Lease>(std::make_unique<StartedWork<Lease>>(pool, requests, std::move(options)));
}

}  // namespace remsh
