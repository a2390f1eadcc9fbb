#include "master/health_watch.hpp"

#include "base/clock.hpp"
#include "master/backend.hpp"
#include "master/health.hpp"
#include "master/slave_pool.hpp"
#include "operations/operations.hpp"
#include "os/threads.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace remsh {

namespace {

constexpr const char* question_tag = "health";

/// Whether a question whose time is over is still open. Another one would be open beside it: in the end a slave whose
/// disk hangs would have as many open calls as a connection can have.
bool owes_an_answer(Backend& backend) {
  const auto all = backend.operations().list();
  return std::any_of(all.begin(), all.end(), [](const OperationInProgress& one) {
    return one.caller_left && one.tag == question_tag && one.operation == operations::ReadHostFacts::what.name;
  });
}

}  // namespace

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
      if (to_ask_.empty() && real_clock().now() >= next_round_) begin_round(real_clock().now());
      ask_next();
      queue.poll();
    } catch (const std::exception&) {  // no memory: the next round tries again
      to_ask_.clear();
    }
    if (!to_ask_.empty() && asked_.size() < most_asked) continue;
    parking_.park_until(to_ask_.empty() ? next_round_ : TimePoint::max());  // a question that is over wakes it
  }
}

void HealthWatch::begin_round(TimePoint now) {
  next_round_ = now + limits_.interval;
  const auto entries = pool_->entries();  // outlives the loop
  for (const auto& entry : *entries) {
    if (!asked_.contains(entry.get())) to_ask_.push_back(entry);
  }
}

void HealthWatch::ask_next() {
  while (asked_.size() < most_asked && !to_ask_.empty()) {
    const std::shared_ptr<SlaveEntry> entry = to_ask_.back().lock();
    to_ask_.pop_back();
    if (entry && entry->slave->is_connected() && !entry->backend.is_draining()) ask(entry);
  }
}

void HealthWatch::ask(const std::shared_ptr<SlaveEntry>& entry) {
  if (owes_an_answer(entry->backend)) return unanswered(entry);
  asked_.insert(entry.get());
  try {
    auto question = entry->slave->start_host_facts({.deadline = patience_of(limits_), .tag = question_tag});
    std::move(question).then(*queue_, [this, entry](Pending<HostFacts> answer) {
      asked_.erase(entry.get());
      answered(entry, std::move(answer));
    });
  } catch (const std::exception&) {  // its connection has ended just now, for example
    asked_.erase(entry.get());
  }
}

void HealthWatch::answered(const std::shared_ptr<SlaveEntry>& entry, Pending<HostFacts> answer) {
  try {
    pool_->set_unwell(entry, why_unwell(answer.wait(), limits_));
  } catch (const Timeout&) {
    unanswered(entry);
  } catch (const RemoteError&) {  // it does not serve this operation, or may not: nothing is known of it
    pool_->set_unwell(entry, {});
  } catch (const Error&) {  // its connection has ended, for example
  }
}

void HealthWatch::unanswered(const std::shared_ptr<SlaveEntry>& entry) {
  if (std::string why = why_unwell_without_answer(limits_); !why.empty()) pool_->set_unwell(entry, std::move(why));
}

}  // namespace remsh
