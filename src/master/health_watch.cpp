#include "master/health_watch.hpp"

#include "base/clock.hpp"
#include "master/backend.hpp"
#include "master/health.hpp"
#include "master/slave_pool.hpp"
#include "os/threads.hpp"

#include <remsh/base/error.hpp>

#include <exception>
#include <utility>

namespace remsh {

HealthWatch::HealthWatch(std::shared_ptr<SlavePool> pool, const HealthLimits& limits)
    : pool_(std::move(pool)), limits_(limits) {}

void HealthWatch::start() {
  thread_ = start_thread("remsh-health", [this] { run(); });
}

void HealthWatch::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  parking_.unpark();
  thread_.join();
}

void HealthWatch::run() {
  CompletionQueue queue;
  queue_ = &queue;
  queue.on_ready([this] { parking_.unpark(); });
  while (!stopping_) {
    try {
      const TimePoint now = real_clock().now();
      if (to_ask_.empty() && asked_ == 0 && now >= next_round_) begin_round(now);
      ask_next();
      queue.poll();
    } catch (const std::exception&) {  // no memory: the next round tries again
      to_ask_.clear();
    }
    if (!to_ask_.empty() && asked_ < most_asked) continue;
    parking_.park_until(asked_ == 0 ? next_round_ : TimePoint::max());  // a question that is over wakes it
  }
}

void HealthWatch::begin_round(TimePoint now) {
  next_round_ = now + limits_.interval;
  for (const auto& entry : *pool_->entries()) to_ask_.push_back(entry);
}

void HealthWatch::ask_next() {
  while (asked_ < most_asked && !to_ask_.empty()) {
    const std::shared_ptr<SlaveEntry> entry = to_ask_.back().lock();
    to_ask_.pop_back();
    if (entry && entry->slave->is_connected() && !entry->backend.is_draining()) ask(entry);
  }
}

void HealthWatch::ask(const std::shared_ptr<SlaveEntry>& entry) {
  try {
    auto question = entry->slave->start_host_facts({.deadline = limits_.interval, .tag = "health"});
    std::move(question).then(*queue_, [this, entry](Pending<HostFacts> answer) {
      --asked_;
      answered(entry, std::move(answer));
    });
    ++asked_;
  } catch (const Error&) {  // its connection has ended just now
  }
}

void HealthWatch::answered(const std::shared_ptr<SlaveEntry>& entry, Pending<HostFacts> answer) {
  try {
    pool_->set_unwell(entry, why_unwell(answer.wait(), limits_));
  } catch (const Timeout&) {
    if (std::string why = why_unwell_without_answer(limits_); !why.empty()) pool_->set_unwell(entry, std::move(why));
  } catch (const RemoteError&) {  // it does not serve this operation, or may not: nothing is known of it
    pool_->set_unwell(entry, {});
  } catch (const Error&) {  // its connection has ended, for example
  }
}

}  // namespace remsh
