// SlaveCollection: who is in, who is free, and who waits for whom.
//
// A slave that becomes free (it came, or its lease has ended) gets the next *tick*. Everyone who asks looks at all
// that are in once, without a lock, and remembers up to which tick; who must wait joins the end of the queue with that
// as its *cursor*, and from then on looks at slaves with higher ticks, one by one. So none is missed that comes between
// the look and the joining.
//
// A waiter may look at a slave only when the one before it in the queue has: a slave that becomes free wakes the first
// waiter alone, and whoever has nothing more to look at, or leaves, wakes the next. Hence cursors never grow from the
// front of the queue to its end.
#include <remsh/master/slave_collection.hpp>

#include "base/clock.hpp"
#include "base/misuse.hpp"
#include "master/backend.hpp"
#include "master/names.hpp"
#include "os/parking.hpp"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace remsh {

namespace {

using Tick = std::uint64_t;
constexpr Tick any_tick = std::numeric_limits<Tick>::max();

/// How many slaves a waiter looks at before it wakes the next, at most.
constexpr int looks_per_turn = 16;

struct Entry;
using Entries = std::vector<std::shared_ptr<Entry>>;

/// One slave in the collection, until it leaves; a slave that comes again is another entry. What is not atomic or const
/// is reached under the mutex of the collection alone; the atomics are changed under it, and are hints without it.
struct Entry : std::enable_shared_from_this<Entry> {
  explicit Entry(std::shared_ptr<Slave> what) : slave(std::move(what)) {}

  const std::shared_ptr<Slave> slave;
  const std::chrono::system_clock::time_point since = std::chrono::system_clock::now();
  Entry* previous = nullptr;  // in the order of arrival
  Entry* next = nullptr;
  std::atomic<Tick> tick = 0;      // when it became free last
  std::atomic<bool> free = false;  // it is in and not reserved
  bool gone = false;
  bool reserved = false;
  bool releasing = false;  // the lease was released, and what was started under it has not ended yet
};

/// By when they became free last, which is never at the same time.
struct ByTick {
  using is_transparent = void;
  static Tick of(const Entry* entry) noexcept { return entry->tick.load(std::memory_order_relaxed); }
  static Tick of(Tick tick) noexcept { return tick; }
  template <class A, class B>
  bool operator()(A a, B b) const noexcept {
    return of(a) < of(b);
  }
};
using EntriesByTick = std::set<Entry*, ByTick>;

/// A caller that waits for a slave.
struct Waiter {
  Parking parking;
  Tick cursor = 0;
  bool idle = false;  // parked or about to, and must be woken when there is something to look at
};

/// What a caller waits for that waits for the collection to change.
struct Change {
  std::optional<std::uint64_t> version;  // above this
  std::size_t count = 0;                 // at least so many are in

  [[nodiscard]] bool has_come(std::uint64_t version_now, std::size_t count_now) const {
    return (!version || version_now > *version) && count_now >= count;
  }
};

struct Watcher {
  Change change;
  Parking parking;
};

[[noreturn]] void throw_cancelled(const char* operation) {
  throw Cancelled(Errc::cancelled, {}, operation, "the caller's stop_token was triggered");
}

/// Unparks when a stop is requested. Made and destroyed without a lock: destroying waits for a callback that runs.
class StopWatch {
 public:
  StopWatch(const std::stop_token& stop, Parking& parking) : callback_(stop, Unpark{&parking}) {}

 private:
  struct Unpark {
    Parking* parking;
    void operator()() const noexcept { parking->unpark(); }
  };
  std::stop_callback<Unpark> callback_;
};

/// The order in which to look at things: random, decided as far as it is asked for.
class Shuffle {
 public:
  Shuffle(std::size_t count, std::uint64_t seed) : indices_(count), state_(seed) {
    std::iota(indices_.begin(), indices_.end(), std::uint32_t{0});
  }

  std::optional<std::size_t> next() {
    if (at_ == indices_.size()) return std::nullopt;
    std::swap(indices_[at_], indices_[at_ + static_cast<std::size_t>(random() % (indices_.size() - at_))]);
    return indices_[at_++];
  }

 private:
  std::uint64_t random() {  // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  std::vector<std::uint32_t> indices_;
  std::size_t at_ = 0;
  std::uint64_t state_;
};

/// What a caller asks for.
struct Wanted {
  const SlaveFilter& filter;
  const SlaveCompare& compare;
  const std::stop_token& stop;
  bool alone = false;  // reserve()
  std::string owner;

  /// One that is lost may be in for a moment yet: nobody wants it. Throws Cancelled after a stop.
  [[nodiscard]] bool accepts(const Entry& entry) const {
    if (stop.stop_requested()) throw_cancelled(operation());
    return filter(*entry.slave) && entry.slave->is_connected();
  }

  [[nodiscard]] const char* operation() const noexcept { return alone ? "reserve" : "get_slave"; }
};

}  // namespace

/// Thread-safe. Neither user code nor the destructor of a slave runs under the mutex: what may hold the last reference
/// to one is declared before the lock, so that it goes after it.
struct SlaveCollection::Impl {
  using Lock = std::unique_lock<std::mutex>;

  static Backend& backend_of(const Slave& slave) noexcept { return *slave.backend_; }
  static std::string_view name_of(const Entry& entry) noexcept { return backend_of(*entry.slave).name(); }

  struct SameName {
    using is_transparent = void;
    static std::string_view of(std::string_view name) noexcept { return name; }
    static std::string_view of(const std::shared_ptr<Entry>& entry) noexcept { return name_of(*entry); }
    template <class Key>
    std::size_t operator()(const Key& key) const noexcept {
      return std::hash<std::string_view>()(of(key));
    }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const noexcept {
      return of(a) == of(b);
    }
  };

  std::atomic<int> listeners = 0;  // that fill it
  const std::shared_ptr<Names> names = std::make_shared<Names>();
  mutable std::mutex mutex;
  std::unordered_set<std::shared_ptr<Entry>, SameName, SameName> slaves;
  Entry* first = nullptr;  // in the order of arrival
  Entry* last = nullptr;
  EntriesByTick free;
  EntriesByTick reserved;                      // so that becoming free cannot fail
  std::map<const Entry*, std::string> owners;  // of those that somebody with a name has reserved
  mutable std::shared_ptr<const Entries> all;  // in the order of arrival; null: to be made again
  std::list<Waiter*> waiters;
  mutable std::list<Watcher*> watchers;
  Tick last_tick = 0;
  std::uint64_t version = 0;
  std::atomic<std::uint64_t> seed = std::random_device{}();

  /// False where the slave is in as another entry.
  bool add(const std::shared_ptr<Entry>& entry) {
    // Made here, so that nothing can fail half-way, and not under the lock.
    EntriesByTick made{entry.get()};
    std::shared_ptr<const Entries> dropped;
    const Lock lock(mutex);
    const auto [at, is_new] = slaves.insert(entry);
    if (!is_new) {
      if ((*at)->slave == entry->slave) return false;
      throw Error(Errc::in_use, entry->slave->name(), "add_slave", "another slave of this name is in the collection");
    }
    entry->previous = last;
    (last != nullptr ? last->next : first) = entry.get();
    last = entry.get();
    dropped = std::move(all);
    become_free(*entry, made);
    changed();
    return true;
  }

  /// False where it has been removed already. `dropped` may hold the last reference to slaves.
  bool remove(const std::shared_ptr<Entry>& entry, std::shared_ptr<const Entries>& dropped) {
    const Lock lock(mutex);
    if (std::exchange(entry->gone, true)) return false;
    (entry->reserved ? reserved : free).erase(entry.get());
    entry->free.store(false, std::memory_order_relaxed);
    entry->reserved = entry->releasing = false;
    owners.erase(entry.get());
    (entry->previous != nullptr ? entry->previous->next : first) = entry->next;
    (entry->next != nullptr ? entry->next->previous : last) = entry->previous;
    slaves.erase(entry);
    dropped = std::move(all);
    changed();
    return true;
  }

  bool remove(const std::shared_ptr<Entry>& entry) {
    std::shared_ptr<const Entries> dropped;
    return remove(entry, dropped);
  }

  /// The entry of the slave of this back end, where it is in.
  std::shared_ptr<Entry> entry_of(const Backend& backend) const {
    const Lock lock(mutex);
    const auto at = slaves.find(backend.name());
    return at != slaves.end() && (*at)->slave->backend_.get() == &backend ? *at : nullptr;
  }

  /// Takes a slave out when its connection has ended. On the io thread: what a user's callback does elsewhere cannot
  /// keep lost slaves in. Keeps neither, and a slave that is not in not even for as long as it runs.
  class Departure final : public LostCallback {
   public:
    Departure(std::weak_ptr<Impl> collection, const Backend& backend)
        : collection_(std::move(collection)), backend_(backend) {}

    void note(Leftovers& leftovers) noexcept override {
      const auto collection = collection_.lock();
      std::shared_ptr<const Entries> dropped;
      auto entry = collection ? collection->entry_of(backend_) : nullptr;
      if (entry) collection->remove(entry, dropped);
      leftovers.push_back(std::move(dropped));
      leftovers.push_back(std::move(entry));
    }

   private:
    const std::weak_ptr<Impl> collection_;
    const Backend& backend_;  // whose end is noted
  };

  /// Ends the lease that began at this tick, if its slave is in still.
  void end_lease(Tick tick) noexcept {
    const Lock lock(mutex);
    const auto at = reserved.find(tick);
    if (at == reserved.end()) return;
    Entry& entry = **at;
    entry.reserved = entry.releasing = false;
    owners.erase(&entry);
    become_free(entry, reserved);
    changed();
  }

  /// The holder of the lease that began at this tick has released it; nothing if it has ended already.
  void note_release(Tick tick) noexcept {
    const Lock lock(mutex);
    const auto at = reserved.find(tick);
    if (at == reserved.end()) return;
    (*at)->releasing = true;
    changed();
  }

  /// Ends a lease when all that was started under it has ended. It knows the slave by the tick at which that became
  /// free last, which no other has, and so keeps nothing alive.
  class LeaseEnd final : public OperationsEnd {
   public:
    explicit LeaseEnd(std::weak_ptr<Impl> collection) : collection_(std::move(collection)) {}

    void note() noexcept override {
      if (const auto collection = collection_.lock()) collection->end_lease(tick);
    }

    Tick tick = 0;

   private:
    const std::weak_ptr<Impl> collection_;
  };

  /// All that are in, those that came first in front.
  [[nodiscard]] std::shared_ptr<const Entries> entries(const Lock& /*held*/) const {
    if (!all) {
      auto made = std::make_shared<Entries>();
      made->reserve(slaves.size());
      for (Entry* entry = first; entry != nullptr; entry = entry->next) made->push_back(entry->shared_from_this());
      all = std::move(made);
    }
    return all;
  }

  /// The slave that the caller gets, which is reserved for it where it wants that; null where none came in time.
  std::shared_ptr<Entry> acquire(Deadline deadline, const Wanted& wanted) {
    if (wanted.stop.stop_requested()) throw_cancelled(wanted.operation());
    Tick seen = 0;
    // Who does not wait may take what is on offer to those who do: else it could find nothing where there is something.
    const bool passed = deadline.has_passed(real_clock().now());
    if (auto found = look(wanted, seen, passed)) return found;
    if (passed) return nullptr;
    if (auto found = wait(deadline, wanted, seen)) return found;
    return look(wanted, seen, true);  // what those before it in the queue have held up
  }

  bool watch(const Change& change, const char* operation, Deadline deadline, const std::stop_token& stop) const {
    Watcher self{change, {}};
    const StopWatch stop_watch(stop, self.parking);
    Lock lock(mutex);
    const auto here = watchers.insert(watchers.end(), &self);
    bool in_time = true;
    while (!change.has_come(version, slaves.size()) && in_time && !stop.stop_requested()) {
      lock.unlock();
      in_time = self.parking.park_until(deadline.at());
      lock.lock();
    }
    watchers.erase(here);
    if (change.has_come(version, slaves.size())) return true;
    if (in_time) throw_cancelled(operation);
    return false;
  }

 private:
  // Under the mutex.

  void become_free(Entry& entry, EntriesByTick& from) {
    auto node = from.extract(&entry);
    entry.tick.store(++last_tick, std::memory_order_relaxed);
    entry.free.store(true, std::memory_order_relaxed);
    free.insert(free.end(), std::move(node));
    if (!waiters.empty()) wake_for_looking(waiters.begin());
  }

  /// What take() says of a slave that will do.
  enum class Taken { yes, no, on_offer };

  /// The slave is the caller's now. Not where it is on offer to somebody who waits, unless the caller may go before.
  Taken take(Entry& entry, const Wanted& wanted, bool may_go_before) {
    if (!entry.free.load(std::memory_order_relaxed)) return Taken::no;
    if (!wanted.alone) return Taken::yes;
    if (!may_go_before && is_on_offer(entry)) return Taken::on_offer;
    if (!wanted.owner.empty()) owners.insert_or_assign(&entry, wanted.owner);
    entry.free.store(false, std::memory_order_relaxed);
    reserved.insert(free.extract(&entry));
    entry.reserved = true;
    changed();
    return Taken::yes;
  }

  [[nodiscard]] bool is_on_offer(const Entry& entry) const {
    return !waiters.empty() && entry.tick.load(std::memory_order_relaxed) > waiters.back()->cursor;
  }

  void changed() {
    ++version;
    for (Watcher* watcher : watchers) {
      if (watcher->change.has_come(version, slaves.size())) watcher->parking.unpark();
    }
  }

  /// The slave that a waiter is to look at next, if there is one.
  EntriesByTick::iterator next_for(std::list<Waiter*>::iterator waiter) {
    const Tick limit = waiter == waiters.begin() ? any_tick : (*std::prev(waiter))->cursor;
    const auto next = free.upper_bound((*waiter)->cursor);
    return next == free.end() || ByTick::of(*next) > limit ? free.end() : next;
  }

  void wake_for_looking(std::list<Waiter*>::iterator waiter) {
    if (waiter == waiters.end() || !(*waiter)->idle || next_for(waiter) == free.end()) return;
    (*waiter)->idle = false;
    (*waiter)->parking.unpark();
  }

  // Without the mutex.

  /// Looks once at all that are free. Sets `seen` to the tick up to which it did, from that to which the caller had.
  std::shared_ptr<Entry> look(const Wanted& wanted, Tick& seen, bool may_go_before) {
    std::shared_ptr<const Entries> in;
    const Tick from = seen;
    {
      const Lock lock(mutex);
      in = entries(lock);
      seen = last_tick;
      if (wanted.alone && !may_go_before && !waiters.empty()) seen = std::min(seen, waiters.back()->cursor);
    }
    const Tick to = may_go_before ? any_tick : seen;  // what is on offer is not even looked at
    const auto is_candidate = [&](const Entry& entry) {
      const Tick tick = entry.tick.load(std::memory_order_relaxed);
      return entry.free.load(std::memory_order_relaxed) && tick > from && (tick <= to || !wanted.alone);
    };
    const auto try_take = [&](Entry& entry) {
      const Lock lock(mutex);
      const Taken taken = take(entry, wanted, may_go_before);
      // It will be looked at again, in turn.
      if (taken == Taken::on_offer) seen = std::min(seen, entry.tick.load(std::memory_order_relaxed) - 1);
      return taken == Taken::yes;
    };

    if (!wanted.compare) {
      Shuffle shuffle(in->size(), seed.fetch_add(0x9e3779b97f4a7c15U, std::memory_order_relaxed));
      while (const auto index = shuffle.next()) {
        const std::shared_ptr<Entry>& entry = (*in)[*index];
        if (is_candidate(*entry) && wanted.accepts(*entry) && try_take(*entry)) return entry;
      }
      return nullptr;
    }

    Entries suitable;
    for (const auto& entry : *in) {
      if (is_candidate(*entry) && wanted.accepts(*entry)) suitable.push_back(entry);
    }
    while (!suitable.empty()) {
      const auto best = std::min_element(suitable.begin(), suitable.end(), [&](const auto& a, const auto& b) {
        return wanted.compare(*a->slave, *b->slave);
      });
      if (try_take(**best)) return *best;
      suitable.erase(best);  // somebody else was quicker
    }
    return nullptr;
  }

  /// Waits in the queue; null where the deadline has passed. `seen` is the tick up to which the caller has looked.
  std::shared_ptr<Entry> wait(Deadline deadline, const Wanted& wanted, Tick& seen) {
    Waiter self;
    const StopWatch stop_watch(wanted.stop, self.parking);
    std::shared_ptr<Entry> entry;  // before the lock, as it may be the last reference
    Lock lock(mutex);
    self.cursor = waiters.empty() ? seen : std::min(seen, waiters.back()->cursor);
    const auto here = waiters.insert(waiters.end(), &self);

    /// Leaves the queue, however that comes: the next may look at what this one has not.
    struct Leaving {
      Impl& impl;
      Lock& lock;
      std::list<Waiter*>::iterator here;
      ~Leaving() {
        if (!lock.owns_lock()) lock.lock();
        impl.wake_for_looking(impl.waiters.erase(here));
      }
    };
    const Leaving leaving{*this, lock, here};

    int looks = 0;
    for (;;) {
      if (wanted.stop.stop_requested()) throw_cancelled(wanted.operation());
      if (deadline.has_passed(real_clock().now())) {  // also while there always is one more to look at
        seen = self.cursor;
        return nullptr;
      }
      if (const auto next = next_for(here); next != free.end()) {
        const Tick tick = ByTick::of(*next);
        std::shared_ptr<Entry> previous = std::exchange(entry, (*next)->shared_from_this());
        lock.unlock();
        previous.reset();
        const bool accepted = wanted.accepts(*entry);
        lock.lock();
        self.cursor = tick;
        if (accepted && take(*entry, wanted, true) == Taken::yes) return entry;
        if (++looks % looks_per_turn == 0) wake_for_looking(std::next(here));
        continue;
      }
      wake_for_looking(std::next(here));
      self.idle = true;
      lock.unlock();
      entry.reset();
      self.parking.park_until(deadline.at());
      lock.lock();
      self.idle = false;
    }
  }
};

/// What a lease gives back, and to whom.
struct Lease::Holder {
  std::weak_ptr<SlaveCollection::Impl> collection;
  Tick tick = 0;  // at which the slave became free before
  std::unique_ptr<OperationsEnd> end;
};

Lease::Lease() noexcept = default;
Lease::Lease(std::shared_ptr<Slave> slave, std::unique_ptr<Holder> holder)
    : slave_(std::move(slave)), holder_(std::move(holder)) {}
Lease::Lease(Lease&&) noexcept = default;

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    slave_ = std::move(other.slave_);
    holder_ = std::move(other.holder_);
  }
  return *this;
}

Lease::~Lease() { release(); }

void Lease::throw_empty() {
  throw Error(Errc::invalid_argument, {}, "Lease",
              "the lease is empty: no slave came before the deadline of reserve(), or the lease was released or moved "
              "from. Test it before you use it: if (lease) ...");
}

void Lease::release() noexcept {
  const auto holder = std::move(holder_);
  const auto slave = std::move(slave_);
  if (!holder) return;
  Backend& backend = SlaveCollection::Impl::backend_of(*slave);
  holder->end->range.end = backend.next_operation();
  backend.notify_when_over(std::move(holder->end));
  if (const auto collection = holder->collection.lock()) collection->note_release(holder->tick);
}

void Lease::release_now() noexcept {
  const auto holder = std::move(holder_);
  const auto slave = std::move(slave_);
  if (!holder) return;
  if (const auto collection = holder->collection.lock()) collection->end_lease(holder->tick);
}

SlaveCollection::SlaveCollection() : impl_(std::make_shared<Impl>()) {}

void SlaveCollection::listener_comes() noexcept { ++impl_->listeners; }
void SlaveCollection::listener_goes() noexcept { --impl_->listeners; }
const std::shared_ptr<Names>& SlaveCollection::names() const noexcept { return impl_->names; }

SlaveCollection::~SlaveCollection() {
  if (impl_->listeners > 0) {
    misuse(
        "a SlaveCollection is destroyed before a listener or a launcher that fills it: declare the collection first");
  }
  // Here, and not where the last callback of a slave lets go of the rest.
  const auto dropped = [this] {
    const Impl::Lock lock(impl_->mutex);
    assert(impl_->waiters.empty() && impl_->watchers.empty());
    return impl_->entries(lock);
  }();
  for (const auto& entry : *dropped) impl_->remove(entry);
}

bool SlaveCollection::add_slave(std::shared_ptr<Slave> slave) {
  if (!slave) throw Error(Errc::invalid_argument, {}, "add_slave", "there is no slave");
  if (!slave->is_connected()) return false;
  if (const auto same = find(slave->name())) {
    if (same == slave) return false;
    if (!same->is_connected()) remove_slave(*same);  // the notice of its end is on its way
  }
  const auto entry = std::make_shared<Entry>(slave);
  // Once, however often it is put back; before it is in, so that it is never in without.
  if (slave->backend_->has_to_ask(impl_.get())) {
    slave->backend_->on_lost(std::make_unique<Impl::Departure>(impl_, *slave->backend_));
  }
  if (!impl_->add(entry)) return false;
  if (slave->is_connected()) return true;
  impl_->remove(entry);  // the notice of its end may have come before
  return false;
}

bool SlaveCollection::remove_slave(const Slave& slave) {
  const auto entry = impl_->entry_of(*slave.backend_);
  return entry && impl_->remove(entry);
}

std::shared_ptr<Slave> SlaveCollection::get_slave(Deadline deadline, const SlaveFilter& filter) {
  return get_slave({.filter = filter, .deadline = deadline});
}

std::shared_ptr<Slave> SlaveCollection::get_slave(const GetSlaveOptions& options) {
  const Wanted wanted{options.filter, options.compare, options.stop, false, {}};
  const auto entry = impl_->acquire(options.deadline, wanted);
  return entry ? entry->slave : nullptr;
}

Lease SlaveCollection::reserve(const ReserveOptions& options) {
  auto holder = std::make_unique<Lease::Holder>(Lease::Holder{impl_, 0, nullptr});
  auto end = std::make_unique<Impl::LeaseEnd>(impl_);
  const Wanted wanted{options.filter, options.compare, options.stop, true, options.owner};
  const auto entry = impl_->acquire(options.deadline, wanted);
  if (!entry) return {};
  // Only what begins from now on is started under the lease.
  end->range.first = entry->slave->backend_->next_operation();
  end->tick = holder->tick = entry->tick.load(std::memory_order_relaxed);
  holder->end = std::move(end);
  return {entry->slave, std::move(holder)};
}

std::vector<std::shared_ptr<Slave>> SlaveCollection::get_all_slaves() const {
  const auto in = [this] {
    const Impl::Lock lock(impl_->mutex);
    return impl_->entries(lock);
  }();
  std::vector<std::shared_ptr<Slave>> slaves;
  slaves.reserve(in->size());
  for (const auto& entry : *in) slaves.push_back(entry->slave);
  return slaves;
}

std::shared_ptr<Slave> SlaveCollection::find(const std::string& name) const {
  const Impl::Lock lock(impl_->mutex);
  const auto at = impl_->slaves.find(std::string_view(name));
  return at == impl_->slaves.end() ? nullptr : (*at)->slave;
}

std::size_t SlaveCollection::size() const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->slaves.size();
}

std::vector<SlaveStatus> SlaveCollection::snapshot() const {
  std::shared_ptr<const Entries> in;
  std::vector<SlaveStatus> statuses;
  {
    const Impl::Lock lock(impl_->mutex);
    in = impl_->entries(lock);
    statuses.resize(in->size());
    for (std::size_t i = 0; i < in->size(); ++i) {
      statuses[i].reserved = (*in)[i]->reserved;
      statuses[i].releasing = (*in)[i]->releasing;
      const auto owner = impl_->owners.find((*in)[i].get());
      if (owner != impl_->owners.end()) statuses[i].reserved_by = owner->second;
    }
  }
  for (std::size_t i = 0; i < in->size(); ++i) {
    statuses[i].info = (*in)[i]->slave->info();
    statuses[i].since = (*in)[i]->since;
  }
  return statuses;
}

std::uint64_t SlaveCollection::version() const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->version;
}

bool SlaveCollection::wait_for_change(std::uint64_t seen, Deadline deadline, const std::stop_token& stop) const {
  return impl_->watch({.version = seen, .count = 0}, "wait_for_change", deadline, stop);
}

bool SlaveCollection::wait_for_slaves(std::size_t count, Deadline deadline, const std::stop_token& stop) const {
  return impl_->watch({.version = std::nullopt, .count = count}, "wait_for_slaves", deadline, stop);
}

}  // namespace remsh
