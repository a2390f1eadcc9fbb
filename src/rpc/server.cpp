#include "rpc/server.hpp"

#include "os/threads.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace remsh::rpc {

namespace {

using namespace std::chrono_literals;

/// An operation that takes longer than one to two of these periods does not delay the others.
constexpr Duration tick_period = 2ms;

/// After this number of ticks that found quick operations only, the period is longer: a tick wakes the io thread, which
/// costs as much as several quick operations.
constexpr std::uint64_t quick_ticks = 16;
constexpr Duration quick_tick_period = 16ms;

/// The period among quick operations while a call waits for one of them, or may do so.
constexpr Duration crowded_tick_period = 4ms;

/// The same while all allowed workers are busy: then the only thing to do is to wait for one of them.
constexpr Duration full_tick_period = 20ms;

/// How many ticks a slow phase lasts after the last operation that was found to be slow.
constexpr std::uint64_t slow_ticks = 8;

}  // namespace

thread_local const Server::Worker* Server::current = nullptr;

// --- jobs

void Server::add(std::shared_ptr<OpenService> call) { add({.call = std::move(call), .step = nullptr, .tick = ticks_}); }

void Server::add(std::shared_ptr<PeerService> step) { add({.call = nullptr, .step = std::move(step), .tick = ticks_}); }

void Server::add(Job job) {
  if (is_over_ && alive_ == 0) {  // there is no worker left: the thread that unlocks runs the step, which sees the end
    if (job.step) to_tell.push_back(std::move(job.step));
    return;
  }
  ready_.push_back(std::move(job));
  if (is_this_thread()) {
    is_crowded_ = is_crowded_ || current->begun != 0;
    start_tick(period());  // this worker looks itself: when it has read, or when its operation is over
  } else {
    bring(1);
  }
}

void Server::end() {
  std::erase_if(ready_, [](const Job& job) { return job.call != nullptr; });
  if (has_work()) bring(1);
}

bool Server::holds_back_answers() const noexcept { return is_this_thread() && !current->is_apart && covers(); }

// --- workers

/// Starts or wakes up to `wanted` workers for the queued jobs. A worker that is starting already counts.
void Server::bring(std::size_t wanted) {
  if (is_over_) return;  // workers that were left behind run the queued jobs when they return
  wanted = std::min(wanted, ready_.size());
  std::size_t coming = 0;
  for (const auto& worker : workers_) {
    if (worker->is_starting || worker->waiter.woken) ++coming;
  }
  for (const auto& worker : workers_) {
    if (coming >= wanted) break;
    if (!worker->waiter.parked || worker->waiter.woken) continue;
    peer_.wake(worker->waiter);
    ++coming;
  }
  while (coming < wanted && start_worker()) ++coming;
  start_tick(coming < wanted ? full_tick_period : period());
}

/// False if no more threads are allowed, or the system has none. The tick tries again.
bool Server::start_worker() {
  const PeerGroup::Options& options = peer_.group_->options();
  if (alive_ >= options.max_threads || (alive_ >= options.threads && counted_workers(peer_.now()) >= options.threads)) {
    return false;
  }
  const auto worker = std::make_shared<Worker>();
  worker->server = this;
  worker->is_starting = true;
  workers_.push_back(worker);
  try {
    worker->thread = start_thread("remsh-server", [peer = peer_.shared_from_this(), worker] {
      current = worker.get();
      peer->server_->run(*worker);
      current = nullptr;
    });
  } catch (const std::system_error&) {
    workers_.pop_back();
    return false;
  }
  ++alive_;
  return true;
}

bool Server::is_long(const Worker& worker, TimePoint at) const {
  return worker.is_slow && at - worker.slow_since >= peer_.group_->options().long_operation;
}

std::size_t Server::counted_workers(TimePoint at) const {
  return static_cast<std::size_t>(std::count_if(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return !worker->has_returned && !is_long(*worker, at);
  }));
}

void Server::run(Worker& me) {
  me.waiter.is_server = true;
  Peer::Locked lock(peer_);
  me.is_starting = false;
  for (;;) {
    if (has_work()) {
      do_next(lock, me);
      continue;
    }
    if (peer_.is_over()) break;
    if (peer_.reader_ == nullptr) peer_.reader_ = &me.waiter;
    peer_.flush(lock);  // the answers to one read leave in one write
    const auto has_ready = [this] { return has_work(); };
    peer_.wait_for(lock, me.waiter, TimePoint::max(), has_ready);
  }
  peer_.resign(me.waiter);
  me.has_returned = true;
  --alive_;
  peer_.settle();
  peer_.tell_left();
}

void Server::do_next(Peer::Locked& lock, Worker& me) {
  Job job = std::move(ready_.front());
  ready_.pop_front();
  const bool is_new = job.step == nullptr;
  if (is_new) job.step = std::make_shared<PeerService>(peer_.shared_from_this(), std::move(job.call));
  me.call = job.step->state();
  me.begun = ticks_;
  ++begun_;
  me.is_apart = ticks_ < slow_until_;
  is_crowded_ = is_crowded_ || has_work();
  ++busy_;
  start_tick(period());
  peer_.resign(me.waiter);  // without arming: the tick arms if this takes long
  if (me.is_apart) {
    peer_.flush(lock);
    if (has_work()) bring(2);  // each worker brings two more, so that many come soon
    peer_.settle();
  }
  lock.unlock();
  if (is_new) {
    job.step->begin(peer_.group_->options().serve);
  } else {
    job.step->go_on();
  }
  job.step.reset();  // releasing the last reference may lock
  lock.lock();
  --busy_;
  me.call = nullptr;
  me.begun = 0;
  me.is_slow = me.is_apart = false;
}

// --- the tick

Duration Server::period() const noexcept {
  if (!is_quick()) return tick_period;
  return is_crowded_ ? crowded_tick_period : quick_tick_period;
}

bool Server::is_quick() const noexcept { return ticks_ - last_slow_ > quick_ticks; }

void Server::start_tick(Duration after) {
  if (is_tick_due() && (!is_tick_far_ || after >= quick_tick_period)) return;
  const TimePoint at = peer_.now() + after;
  if (at >= tick_at_) return;
  if (is_tick_due()) peer_.loop().cancel(tick_timer_);
  tick_at_ = at;
  is_tick_far_ = after == quick_tick_period;
  tick_timer_ = peer_.loop().at(at, [weak = peer_.weak_from_this(), number = ++tick_number_] {
    if (const auto peer = weak.lock()) peer->server_->on_tick(number);
  });
}

/// Whether an operation is running, or a queued call is waiting, since before the last tick. Counts each slow operation
/// once.
bool Server::find_slow(TimePoint at) {
  bool is_slow = has_work() && ticks_ - ready_.front().tick >= 2;
  for (const auto& worker : workers_) {
    if (worker->begun == 0 || worker->is_slow || ticks_ - worker->begun < 2) continue;
    worker->is_slow = worker->is_apart = is_slow = true;
    worker->slow_since = at;
  }
  return is_slow;
}

void Server::on_tick(std::uint64_t number) {
  Peer::Locked lock(peer_);
  if (number != tick_number_) return;  // it was replaced while it waited for the mutex
  tick_at_ = TimePoint::max();
  ++ticks_;
  if (peer_.is_over() && !has_work()) return;
  if (find_slow(peer_.now())) {
    last_slow_ = ticks_;
    slow_until_ = ticks_ + slow_ticks;
    peer_.settle();
    peer_.flush(lock);
    peer_.settle();
  }
  if (has_work()) bring(ticks_ < slow_until_ ? 2 : 1);
  // If one more operation is likely to begin within a period, the tick goes on: to start it is one wake-up more.
  const bool goes_on = std::exchange(begun_, 0) >= (is_quick() ? 1U : 2U);
  const bool is_watched = std::any_of(workers_.begin(), workers_.end(), [](const auto& worker) {
    return worker->begun != 0 && !worker->is_slow;  // its first whole tick is yet to come
  });
  if (is_watched) is_crowded_ = true;  // calls may lie unread, which this worker would read
  if (goes_on || is_watched) start_tick(period());
  is_crowded_ = false;
}

Server::Threads Server::take_threads() {
  Threads threads;
  is_over_ = true;
  if (alive_ == 0) threads.dropped = std::make_shared<std::deque<Job>>(std::exchange(ready_, {}));
  for (const auto& worker : std::exchange(workers_, {})) {
    if (worker->has_returned) {
      threads.returned.push_back(std::move(worker->thread));
    } else {
      const std::string command = worker->call != nullptr ? worker->call->command : std::string();
      threads.stuck.push_back({std::move(worker->thread), command, {worker, &worker->has_returned}});
    }
  }
  return threads;
}

}  // namespace remsh::rpc
