#include "slave/leave_watch.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"
#include "os/threads.hpp"

#include <utility>

namespace remsh {

LeaveWatch::LeaveWatch(LeaveRules::Limits limits, const Clock& clock)
    : limits_(limits), clock_(clock), rules_(limits, clock.now()) {}

LeaveWatch::~LeaveWatch() { stop(); }

void LeaveWatch::start(std::function<LeaveRules::Work()> work, std::function<void()> leave) {
  const std::lock_guard lock(mutex_);
  if (!rules_.are_any() || is_over_ || thread_.joinable()) return;
  work_ = std::move(work);
  leave_ = std::move(leave);
  thread_ = start_thread("remsh-leave", [this] { run(); });
}

void LeaveWatch::stop() {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    changed_.notify_all();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void LeaveWatch::admitted() {
  const std::lock_guard lock(mutex_);
  rules_.admitted();
  changed_.notify_all();
}

void LeaveWatch::gone() {
  const std::lock_guard lock(mutex_);
  rules_.gone(clock_.now());
  changed_.notify_all();
}

void LeaveWatch::run() {
  std::unique_lock lock(mutex_);
  while (!is_over_ && !why_) {
    const TimePoint now = clock_.now();
    const LeaveRules::Work work = work_();
    why_ = rules_.due(now, work);
    if (why_) break;
    const TimePoint next = rules_.next_look(now, work);
    if (next == TimePoint::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, next);
    }
  }
  const bool leaves = why_.has_value() && !is_over_;
  lock.unlock();
  if (leaves) leave_();
}

std::optional<LeaveWatch::Reason> LeaveWatch::reason() const {
  const std::lock_guard lock(mutex_);
  if (!why_) return std::nullopt;
  switch (*why_) {
    case LeaveRules::Why::idle:
      return Reason{*why_, formatted("no operation has run for {}", in_seconds(limits_.idle))};
    case LeaveRules::Why::lifetime:
      return Reason{*why_, formatted("its lifetime of {} is over", in_seconds(limits_.lifetime))};
    case LeaveRules::Why::no_master:
      return Reason{*why_, formatted("no master has accepted it for {}", in_seconds(limits_.no_master))};
  }
  return std::nullopt;
}

}  // namespace remsh
