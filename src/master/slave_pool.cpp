#include "master/slave_pool.hpp"

#include "master/backend.hpp"
#include "master/missing_watch.hpp"
#include "master/stop_watch.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <utility>

namespace remsh {

namespace {
constexpr const char* taken_out = "it was taken out of the collection";
}  // namespace

std::string_view SlavePool::SameName::of(const std::shared_ptr<SlaveEntry>& entry) noexcept {
  return entry->backend.name();
}

bool SlavePool::add(const std::shared_ptr<SlaveEntry>& entry) {
  EntriesByTick made{entry.get()};  // allocated here, so that nothing can fail later
  std::map<const SlaveEntry*, std::string> owner;
  const Lock lock(mutex_);
  const auto expected = expected_.find(entry->backend.name());
  if (expected != expected_.end()) owner.emplace(entry.get(), expected->second.owner);
  const auto [at, is_new] = slaves_.insert(entry);
  if (!is_new) {
    if ((*at)->slave == entry->slave) return false;
    throw Error(Errc::in_use, entry->slave->name(), "add_slave", "another slave of this name is in the collection");
  }
  entry->previous = last_;
  (last_ != nullptr ? last_->next : first_) = entry.get();
  last_ = entry.get();
  if (missing_watch_ != nullptr) missing_watch_->arrived(entry->backend.name());
  entry->paused = pauses_.find(entry->backend.name()) != pauses_.end();
  entry->incarnation =
      incarnation_of(entry->backend.boot_id(), entry->backend.instance_id(), departures_.find(entry->backend.name()));
  notices->publish([&] {
    return SlaveNotice{.kind = SlaveNotice::arrived, .slave = entry->slave, .incarnation = entry->incarnation};
  });
  if (entry->paused) {
    notices->publish(
        [&] { return SlaveNotice{.kind = SlaveNotice::paused, .slave = entry->slave, .words = pause_of(*entry)}; });
  }
  if (expected == expected_.end()) {
    become_free(*entry, made);
  } else {
    expected->second.successor = entry;
    entry->reserved = true;
    entry->tick.store(++last_tick_, std::memory_order_relaxed);
    reserved_.insert(made.extract(made.begin()));
    owners_.merge(owner);
    notices->publish(
        [&] { return SlaveNotice{.kind = SlaveNotice::reserved, .slave = entry->slave, .owner = owner_of(*entry)}; });
  }
  changed();
  return true;
}

bool SlavePool::remove(const std::shared_ptr<SlaveEntry>& entry, std::shared_ptr<const SlaveEntries>& dropped) {
  const auto lost = entry->backend.lost();
  std::shared_ptr<SlaveEntry> successor;
  const Lock lock(mutex_);
  if (entry->gone) return false;
  entry->gone = true;
  const auto expected = expected_.find(entry->backend.name());
  const bool is_expected = expected != expected_.end();
  if (is_expected) successor = std::move(expected->second.successor);  // if it leaves before it is taken
  notices->publish([&] {
    return SlaveNotice{.kind = SlaveNotice::left,
                       .slave = entry->slave,
                       .owner = owner_of(*entry),
                       .reason = lost ? std::optional(lost->reason) : std::nullopt,
                       .words = (is_expected ? "expected (" + expected->second.why + "): " : std::string()) +
                                (lost ? lost->message : taken_out),
                       .expected = is_expected};
  });
  remember(*entry, lost);
  set_of(*entry).erase(entry.get());
  shut(*entry);
  entry->reserved = entry->releasing = false;
  owners_.erase(entry.get());
  unwell_.erase(entry.get());
  if (entry->shared) {
    for (const Tick lease : entry->shared->leases) shares_.erase(lease);
    entry->shared.reset();
  }
  (entry->previous != nullptr ? entry->previous->next : first_) = entry->next;
  (entry->next != nullptr ? entry->next->previous : last_) = entry->previous;
  slaves_.erase(entry);
  if (missing_watch_ != nullptr) missing_watch_->left(entry->backend.name());
  dropped = std::move(all_);
  changed();
  return true;
}

bool SlavePool::remove(const std::shared_ptr<SlaveEntry>& entry) {
  std::shared_ptr<const SlaveEntries> dropped;
  return remove(entry, dropped);
}

std::shared_ptr<SlaveEntry> SlavePool::entry_of(const Backend& backend) const {
  const Lock lock(mutex_);
  const auto at = slaves_.find(backend.name());
  return at != slaves_.end() && &(*at)->backend == &backend ? *at : nullptr;
}

bool SlavePool::drain(Backend& backend) noexcept {
  const Lock lock(mutex_);
  const auto at = slaves_.find(backend.name());
  if (at == slaves_.end() || &(*at)->backend != &backend) return false;
  SlaveEntry& entry = **at;
  if (entry.draining) return must_wait(entry);
  if (&set_of(entry) == &free_) {
    shut(entry);
    out_.insert(free_.extract(&entry));
  }
  entry.draining = true;
  notices->publish([&] {
    return SlaveNotice{.kind = SlaveNotice::draining, .slave = entry.slave, .words = backend.draining().value_or("")};
  });
  changed();
  return must_wait(entry);
}

/// Whether a draining slave must stay until a job on it has ended. A lease that expects the slave's end does not hold
/// it.
bool SlavePool::must_wait(const SlaveEntry& entry) const {
  return entry.shared || (entry.reserved && expected_.find(entry.backend.name()) == expected_.end());
}

void SlavePool::note_release(Tick lease) noexcept {
  const Lock lock(mutex_);
  if (const auto share = shares_.find(lease); share != shares_.end()) {
    share->second.releasing = true;
    return changed();
  }
  const auto at = reserved_.find(lease);
  if (at == reserved_.end()) return;
  (*at)->releasing = true;
  changed();
}

void SlavePool::end_lease(Tick lease) noexcept {
  Backend* to_let_go = nullptr;
  {
    const Lock lock(mutex_);
    if (const auto share = shares_.find(lease); share != shares_.end()) {
      to_let_go = end_share(share);
    } else if (const auto at = reserved_.find(lease); at != reserved_.end()) {
      SlaveEntry& entry = **at;
      notices->publish(
          [&] { return SlaveNotice{.kind = SlaveNotice::released, .slave = entry.slave, .owner = owner_of(entry)}; });
      entry.reserved = entry.releasing = false;
      owners_.erase(&entry);
      become_free(entry, reserved_);
      changed();
      if (entry.draining) to_let_go = &entry.backend;
    }
  }
  if (to_let_go != nullptr) to_let_go->let_go_when_idle();
}

bool SlavePool::expect(Tick lease, const std::string& why) {
  const Lock lock(mutex_);
  const auto at = reserved_.find(lease);
  if (at == reserved_.end()) return false;
  expected_.insert_or_assign(std::string((*at)->backend.name()), Expected{owner_of(**at), why});
  return true;
}

std::shared_ptr<SlaveEntry> SlavePool::take_successor(std::string_view name) {
  const Lock lock(mutex_);
  const auto at = expected_.find(name);
  if (at == expected_.end() || !at->second.successor) return nullptr;
  auto successor = std::move(at->second.successor);
  expected_.erase(at);
  return successor;
}

void SlavePool::stop_expecting(std::string_view name) noexcept {
  std::shared_ptr<SlaveEntry> successor;  // before the lock
  Tick lease = 0;
  {
    const Lock lock(mutex_);
    const auto at = expected_.find(name);
    if (at == expected_.end()) return;
    successor = std::move(at->second.successor);
    if (successor) lease = successor->tick;
    expected_.erase(at);
  }
  if (successor) end_lease(lease);
}

void SlavePool::pause(const std::string& name, const std::string& reason) {
  std::map<std::string, std::string, std::less<>> made{{name, reason}};  // allocated here, so that nothing fails later
  std::shared_ptr<SlaveEntry> entry;                                     // before the lock
  const Lock lock(mutex_);
  if (const auto old = pauses_.find(name); old != pauses_.end()) {
    if (old->second == reason) return;
    old->second.swap(made.begin()->second);
  } else {
    pauses_.merge(made);
  }
  const auto at = slaves_.find(name);
  if (at == slaves_.end()) return;
  entry = *at;
  if (&set_of(*entry) == &free_) {
    shut(*entry);
    out_.insert(free_.extract(entry.get()));
  }
  entry->paused = true;
  notices->publish([&] { return SlaveNotice{.kind = SlaveNotice::paused, .slave = entry->slave, .words = reason}; });
  changed();
}

bool SlavePool::resume(const std::string& name) {
  std::shared_ptr<SlaveEntry> entry;  // before the lock
  const Lock lock(mutex_);
  if (pauses_.erase(name) == 0) return false;
  const auto at = slaves_.find(name);
  if (at == slaves_.end()) return true;
  entry = *at;
  entry->paused = false;
  report_resumed(*entry);
  if (!entry->reserved) become_free(*entry, out_);
  changed();
  return true;
}

void SlavePool::set_unwell(const std::shared_ptr<SlaveEntry>& entry, std::string why) {
  std::map<const SlaveEntry*, std::string> made{{entry.get(), std::move(why)}};  // allocated here, as in pause()
  const std::string& words = made.begin()->second;
  const Lock lock(mutex_);
  const bool was_unwell = entry->unwell;
  if (entry->gone || (!was_unwell && words.empty())) return;
  if (words.empty()) {
    unwell_.erase(entry.get());
    entry->unwell = false;
    report_resumed(*entry);
    if (!entry->reserved) become_free(*entry, out_);
  } else if (was_unwell) {  // the figures are new
    unwell_[entry.get()].swap(made.begin()->second);
    return;
  } else {
    if (&set_of(*entry) == &free_) {
      shut(*entry);
      out_.insert(free_.extract(entry.get()));
    }
    entry->unwell = true;
    notices->publish([&] { return SlaveNotice{.kind = SlaveNotice::paused, .slave = entry->slave, .words = words}; });
    unwell_.merge(made);
  }
  changed();
}

/// Reports that one of two reasons to be out of service is over, and the other one if it remains.
void SlavePool::report_resumed(const SlaveEntry& entry) noexcept {
  notices->publish([&] {
    if (!entry.paused && !entry.unwell) return SlaveNotice{.kind = SlaveNotice::resumed, .slave = entry.slave};
    return SlaveNotice{.kind = SlaveNotice::paused,
                       .slave = entry.slave,
                       .words = entry.paused ? pause_of(entry) : unwell_.at(&entry)};
  });
}

std::vector<MissingSlave> SlavePool::missing() const {
  std::vector<MissingSlave> all;
  const std::vector<std::string> expected = names->expected(std::chrono::system_clock::now());
  const Lock lock(mutex_);
  for (const std::string& name : expected) {
    if (has(name, lock)) continue;
    MissingSlave& one = all.emplace_back(MissingSlave{.name = name});
    const Departed* const before = departures_.find(name);
    if (before == nullptr) continue;
    one.last_seen = before->when;
    one.reason = before->reason;
    one.words = before->words;
  }
  return all;
}

void SlavePool::set_missing_watch(MissingWatch* watch) noexcept {
  const Lock lock(mutex_);
  missing_watch_ = watch;
}

void SlavePool::report_missing(const std::string& name, const Lock& /*held*/) {
  const Departed* const before = departures_.find(name);
  notices->publish([&] {
    SlaveNotice notice{.kind = SlaveNotice::missing, .name = name};
    if (before == nullptr) return notice;
    notice.last_seen = before->when;
    notice.reason = before->reason;
    notice.words = before->words;
    return notice;
  });
  changed();
}

std::shared_ptr<Slave> SlavePool::find(std::string_view name) const {
  const Lock lock(mutex_);
  const auto at = slaves_.find(name);
  return at == slaves_.end() ? nullptr : (*at)->slave;
}

std::size_t SlavePool::size() const {
  const Lock lock(mutex_);
  return slaves_.size();
}

std::uint64_t SlavePool::version() const {
  const Lock lock(mutex_);
  return version_;
}

std::shared_ptr<const SlaveEntries> SlavePool::entries() const {
  const Lock lock(mutex_);
  return entries(lock);
}

std::shared_ptr<const SlaveEntries> SlavePool::entries(const Lock& /*held*/) const {
  if (!all_ || all_->size() < slaves_.size()) {  // all that are in it are in the pool, so none is destroyed here
    auto made = std::make_shared<SlaveEntries>();
    made->reserve(slaves_.size());
    for (SlaveEntry* entry = first_; entry != nullptr; entry = entry->next) made->push_back(entry->shared_from_this());
    all_ = std::move(made);
  }
  return all_;
}

std::vector<SlaveStatus> SlavePool::states(std::shared_ptr<const SlaveEntries>& of) const {
  std::vector<SlaveStatus> states;
  const Lock lock(mutex_);
  of = entries(lock);
  states.resize(of->size());
  for (std::size_t i = 0; i < of->size(); ++i) {
    const SlaveEntry& entry = *(*of)[i];
    states[i].since = entry.since;
    states[i].incarnation = entry.incarnation;
    states[i].reserved = entry.reserved;
    states[i].releasing = entry.releasing;
    states[i].reserved_by = owner_of(entry);
    states[i].draining = entry.draining;
    states[i].paused = entry.paused;
    states[i].pause_reason = pause_of(entry);
    if (entry.unwell) states[i].unwell = unwell_.at(&entry);
    states[i].kept = entry.kept;
    if (!entry.shared) continue;
    for (const Tick lease : entry.shared->leases) states[i].shares.push_back(status_of(shares_.at(lease)));
  }
  return states;
}

bool SlavePool::wait_for(const Change& change, const char* operation, Deadline deadline,
                         const std::stop_token& stop) const {
  ChangeWaiter self{change, {}};
  const StopWatch stop_watch(stop, self.parking);
  Lock lock(mutex_);
  const auto here = change_waiters_.insert(change_waiters_.end(), &self);
  bool in_time = true;
  while (!change.has_come(version_, slaves_.size()) && in_time && !stop.stop_requested()) {
    lock.unlock();
    in_time = self.parking.park_until(deadline.at());
    lock.lock();
  }
  change_waiters_.erase(here);
  if (change.has_come(version_, slaves_.size())) return true;
  if (in_time) throw_stopped(operation);
  return false;
}

bool SlavePool::has_callers() const {
  const Lock lock(mutex_);
  return !queue_.empty() || !change_waiters_.empty();
}

Tick SlavePool::open_to_all(const Lock& /*held*/) const {
  return queue_.empty() ? last_tick_ : std::min(last_tick_, queue_.back()->cursor_);
}

SlavePool::Taken SlavePool::take(SlaveEntry& entry, const Demand& demand, const QueuedRequest& self, bool may_pass,
                                 Tick& lease, const Lock& /*held*/) {
  if (!entry.open.load(std::memory_order_relaxed) || !is_free(entry, demand.share)) return Taken::no;
  if (!demand.alone) return Taken::yes;
  if (is_kept_from(entry, self)) return Taken::no;
  if (!may_pass && !queue_.empty() && ByTick::of(&entry) > queue_.back()->cursor_) return Taken::on_offer;
  if (!demand.share.empty()) {
    take_share(entry, demand, lease);
  } else {
    if (!demand.owner.empty()) owners_.insert_or_assign(&entry, demand.owner);
    shut(entry);
    reserved_.insert(free_.extract(&entry));
    entry.reserved = true;
    lease = ByTick::of(&entry);
  }
  notices->publish(
      [&] { return SlaveNotice{.kind = SlaveNotice::reserved, .slave = entry.slave, .owner = demand.owner}; });
  changed();
  return Taken::yes;
}

SlavePool::Queue::iterator SlavePool::join(QueuedRequest& request, Tick has_seen, const Lock& lock) {
  request.cursor_ = std::min(has_seen, queue_.empty() ? has_seen : queue_.back()->cursor_);
  static_cast<void>(lock);
  const auto place = queue_.insert(queue_.end(), &request);
  request.order_ = ++last_order_;
  return place;
}

void SlavePool::leave(Queue::iterator place, const Lock& /*held*/) {
  QueuedRequest& request = **place;
  request.order_ = QueuedRequest::behind_all;
  wake(queue_.erase(place));
  if (request.kept_ == nullptr) return;
  SlaveEntry& kept = *request.kept_;
  keep_no_longer(kept);
  become_free(kept, set_of(kept));  // so that those that it was kept from look at it
}

SlaveEntry* SlavePool::next_for(Queue::const_iterator place, const Lock& /*held*/) const {
  const Tick limit = place == queue_.begin() ? any_tick : (*std::prev(place))->cursor_;
  const auto next = free_.upper_bound((*place)->cursor_);
  return next == free_.end() || ByTick::of(*next) > limit ? nullptr : *next;
}

void SlavePool::wake_next(Queue::iterator place, const Lock& /*held*/) { wake(std::next(place)); }

/// Moves an entry, which is not reserved, out of `from`. If it is out of service, it does not become free.
void SlavePool::become_free(SlaveEntry& entry, EntriesByTick& from) {
  auto node = from.extract(&entry);
  entry.tick.store(++last_tick_, std::memory_order_relaxed);
  if (entry.paused || entry.unwell || entry.draining) {
    out_.insert(out_.end(), std::move(node));
    return;
  }
  entry.open.store(true, std::memory_order_relaxed);
  entry.free.store(!entry.shared, std::memory_order_relaxed);
  free_.insert(free_.end(), std::move(node));
  if (!queue_.empty()) wake(queue_.begin());
}

void SlavePool::changed() {
  ++version_;
  for (ChangeWaiter* waiter : change_waiters_) {
    if (waiter->change.has_come(version_, slaves_.size())) waiter->parking.unpark();
  }
}

void SlavePool::wake(Queue::iterator place) {
  if (place == queue_.end() || !(*place)->idle_) return;
  const Tick limit = place == queue_.begin() ? any_tick : (*std::prev(place))->cursor_;
  const auto next = free_.upper_bound((*place)->cursor_);
  if (next == free_.end() || ByTick::of(*next) > limit) return;
  (*place)->idle_ = false;
  (*place)->wake();
}

void SlavePool::remember(const SlaveEntry& entry, const std::optional<Failure>& lost) noexcept {
  try {
    departures_.remember({.name = std::string(entry.backend.name()),
                          .boot_id = std::string(entry.backend.boot_id()),
                          .instance_id = std::string(entry.backend.instance_id()),
                          .when = std::chrono::system_clock::now(),
                          .reason = lost ? std::optional(lost->reason) : std::nullopt,
                          .words = lost ? lost->message : taken_out});
  } catch (const std::exception&) {  // no memory: it counts as the first of its name when it comes again
  }
}

std::string SlavePool::pause_of(const SlaveEntry& entry) const {
  const auto reason = pauses_.find(entry.backend.name());
  return entry.paused && reason != pauses_.end() ? reason->second : std::string();
}

std::string SlavePool::owner_of(const SlaveEntry& entry) const {
  const auto owner = owners_.find(&entry);
  if (owner != owners_.end()) return owner->second;
  std::string owners;
  if (!entry.shared) return owners;
  for (const Tick lease : entry.shared->leases) {
    const std::string& one = shares_.at(lease).owner;
    if (!one.empty()) owners += (owners.empty() ? "" : ", ") + one;
  }
  return owners;
}

}  // namespace remsh
