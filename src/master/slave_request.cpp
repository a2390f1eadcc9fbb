#include "master/slave_request.hpp"

#include "auth/resources.hpp"
#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "master/backend.hpp"
#include "master/shuffle.hpp"
#include "master/slave_shortage.hpp"
#include "master/stop_watch.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <utility>

namespace remsh {

namespace {

/// How many slaves a queued request looks at, at most, before it lets the next one look.
constexpr int looks_per_turn = 16;

}  // namespace

Share share_of(std::uint64_t slots, const std::map<std::string, std::uint64_t>& resources, bool alone) {
  for (const auto& [resource, count] : resources) {
    if (count > 0 && resource != auth::slots_name) continue;
    throw Error(Errc::invalid_argument, {}, SlaveWish::operation(alone),
                count == 0 ? formatted("it asks for nothing of the resource {}: leave it out", in_quotes(resource))
                           : "slots are not one of the resources: set .slots");
  }
  Share share(resources.begin(), resources.end());
  if (slots > 0) share.emplace(auth::slots_name, slots);
  return share;
}

SlaveRequest::SlaveRequest(SlavePool& pool, QueuedRequest& self, const SlaveWish& wish, Deadline deadline)
    : pool_(pool), self_(self), wish_(wish), deadline_(deadline), begun_(real_clock().now()) {}

SlaveRequest::~SlaveRequest() { leave(); }

void SlaveRequest::leave() {
  if (!place_) return;
  const SlavePool::Lock lock = pool_.lock();
  pool_.leave(*std::exchange(place_, std::nullopt), lock);
}

bool SlaveRequest::step() {
  if (wish_.stop.stop_requested()) throw_stopped(wish_.operation());
  if (!std::exchange(has_begun_, true) && first_look()) return true;
  switch (look_in_turn()) {
    case Look::found: return true;
    case Look::nothing: return false;
    case Look::late: break;
  }
  from_ = seen_;
  result_ = look(true);  // without regard to the queue: looks at the slaves that earlier requests have held up
  return result_ || give_up();
}

bool SlaveRequest::first_look() {
  // A caller that does not wait may take what is on offer to queued requests. Otherwise it could find no slave although
  // there is one.
  const bool passed = is_late();
  result_ = look(passed);
  return result_ || (passed && give_up());
}

bool SlaveRequest::give_up() {
  if (wish_.explain) throw_shortage(pool_, wish_, begun_, deadline_.at());
  return true;
}

bool SlaveRequest::is_late() const { return deadline_.has_passed(real_clock().now()); }

/// A slave that was lost, or will end, may stay in the collection for a moment; it is never returned.
bool SlaveRequest::accepts(const SlaveEntry& entry) const {
  if (wish_.stop.stop_requested()) throw_stopped(wish_.operation());
  return SlavePool::announces(entry, wish_.demand.share) && wish_.filter(*entry.slave) && entry.slave->is_connected() &&
         !entry.backend.is_draining();
}

/// Looks at the slaves that it has not looked at, as far as the request before it in the queue has.
SlaveRequest::Look SlaveRequest::look_in_turn() {
  std::shared_ptr<SlaveEntry> entry;  // before the lock, as it may be the last reference
  SlavePool::Lock lock = pool_.lock();
  if (!place_) place_ = pool_.join(self_, seen_, lock);
  self_.idle_ = false;
  for (int looks = 1;; ++looks) {
    if (wish_.stop.stop_requested()) throw_stopped(wish_.operation());
    if (is_late()) {  // checked in the loop, since there may always be one more slave to look at
      seen_ = self_.cursor_;
      pool_.leave(*std::exchange(place_, std::nullopt), lock);
      return Look::late;
    }
    SlaveEntry* const next = pool_.next_for(*place_, lock);
    if (next == nullptr) {
      pool_.wake_next(*place_, lock);
      self_.idle_ = true;
      return Look::nothing;
    }
    const Tick tick = ByTick::of(next);
    std::shared_ptr<SlaveEntry> previous = std::exchange(entry, next->shared_from_this());
    lock.unlock();
    previous.reset();
    const bool accepted = accepts(*entry);
    lock.lock();
    self_.cursor_ = tick;
    if (accepted && pool_.take(*entry, wish_.demand, self_, true, lease_, lock) == SlavePool::Taken::yes) {
      pool_.leave(*std::exchange(place_, std::nullopt), lock);
      result_ = std::move(entry);
      return Look::found;
    }
    if (accepted) pool_.keep(*entry, wish_.demand, self_, lock);
    if (looks % looks_per_turn == 0) pool_.wake_next(*place_, lock);
  }
}

/// Looks once at all free slaves, and notes up to which tick it has looked.
std::shared_ptr<SlaveEntry> SlaveRequest::look(bool may_pass) {
  std::shared_ptr<const SlaveEntries> in;
  {
    const SlavePool::Lock lock = pool_.lock();
    in = pool_.entries(lock);
    seen_ = wish_.demand.alone && !may_pass ? pool_.open_to_all(lock) : pool_.last_tick(lock);
  }
  // Slaves on offer to queued requests are not even looked at, unless they may be taken.
  const Tick to = may_pass || !wish_.demand.alone ? SlavePool::any_tick : seen_;
  return wish_.compare ? look_for_best(*in, to, may_pass) : look_for_any(*in, to, may_pass);
}

bool SlaveRequest::is_candidate(const SlaveEntry& entry, Tick to) const {
  const Tick tick = ByTick::of(&entry);
  const auto& is_it = wish_.demand.share.empty() ? entry.free : entry.open;
  return is_it.load(std::memory_order_relaxed) && tick > from_ && tick <= to;
}

bool SlaveRequest::try_take(SlaveEntry& entry, bool may_pass) {
  const SlavePool::Lock lock = pool_.lock();
  const SlavePool::Taken taken = pool_.take(entry, wish_.demand, self_, may_pass, lease_, lock);
  // It will be looked at again, in turn.
  if (taken == SlavePool::Taken::on_offer) seen_ = std::min(seen_, ByTick::of(&entry) - 1);
  return taken == SlavePool::Taken::yes;
}

std::shared_ptr<SlaveEntry> SlaveRequest::look_for_any(const SlaveEntries& in, Tick to, bool may_pass) {
  Shuffle shuffle(in.size(), pool_.next_seed());
  while (const auto index = shuffle.next()) {
    const std::shared_ptr<SlaveEntry>& entry = in[*index];
    if (is_candidate(*entry, to) && accepts(*entry) && try_take(*entry, may_pass)) return entry;
  }
  return nullptr;
}

std::shared_ptr<SlaveEntry> SlaveRequest::look_for_best(const SlaveEntries& in, Tick to, bool may_pass) {
  SlaveEntries suitable;
  for (const auto& entry : in) {
    if (is_candidate(*entry, to) && accepts(*entry)) suitable.push_back(entry);
  }
  while (!suitable.empty()) {
    const auto best = std::min_element(suitable.begin(), suitable.end(), [&](const auto& a, const auto& b) {
      return wish_.compare(*a->slave, *b->slave);
    });
    if (try_take(**best, may_pass)) return *best;
    suitable.erase(best);  // another caller was faster
  }
  return nullptr;
}

}  // namespace remsh
