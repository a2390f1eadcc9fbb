// SlaveCollection: the calls of a host program, on a SlavePool.
#include <remsh/master/slave_collection.hpp>

#include "base/misuse.hpp"
#include "master/backend.hpp"
#include "master/health.hpp"
#include "master/health_watch.hpp"
#include "master/lease_maker.hpp"
#include "master/missing_watch.hpp"
#include "master/slave_pool.hpp"
#include "master/slave_request.hpp"
#include "master/started_request.hpp"
#include "master/stop_watch.hpp"
#include "os/parking.hpp"
#include "transport/loop.hpp"

#include <remsh/base/error.hpp>

#include <cassert>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

/// A request that a blocked thread waits for.
class WaitingThread final : public QueuedRequest {
 public:
  void wake() noexcept override { parking.unpark(); }

  Parking parking;
};

/// The slave for the caller, reserved if the wish says so, by this lease; null if there was none in time.
std::shared_ptr<SlaveEntry> acquire(SlavePool& pool, const SlaveWish& wish, Deadline deadline, Tick& lease) {
  WaitingThread self;
  const StopWatch stop_watch(wish.stop, self.parking);
  SlaveRequest request(pool, self, wish, deadline);
  while (!request.step()) self.parking.park_until(deadline.at());
  lease = request.lease();
  return request.result();
}

/// Removes a slave from its collection when its connection has ended. It does that in note(), on the io thread, so that
/// a callback that blocks cannot keep lost slaves in. A slave that is draining it takes out of service. It keeps
/// neither the collection nor the slave alive.
class Departure final : public LostCallback {
 public:
  Departure(std::weak_ptr<SlavePool> pool, Backend& backend) : pool_(std::move(pool)), backend_(backend) {}

  bool note_draining() noexcept override {
    const auto pool = pool_.lock();
    return pool && pool->drain(backend_);
  }

  void note(Leftovers& leftovers) noexcept override {
    const auto pool = pool_.lock();
    std::shared_ptr<const SlaveEntries> dropped;
    auto entry = pool ? pool->entry_of(backend_) : nullptr;
    if (entry) pool->remove(entry, dropped);
    leftovers.push_back(std::move(dropped));
    leftovers.push_back(std::move(entry));
  }

 private:
  const std::weak_ptr<SlavePool> pool_;
  Backend& backend_;  // alive while note() and note_draining() run
};

}  // namespace

struct SlaveCollection::Impl {
  void watch(const SlaveCollectionOptions& options) {
    constexpr std::chrono::milliseconds longest{1'000'000'000'000};  // that the clock can add
    if (options.missing_timeout < std::chrono::milliseconds::zero() || options.missing_timeout > longest) {
      throw Error(Errc::invalid_argument, {}, "SlaveCollection", "missing_timeout is negative, or over 10^12 ms");
    }
    check_limits(options.health);
    if (options.missing_timeout > std::chrono::milliseconds::zero()) {
      loop = Loop::start();
      missing = std::make_shared<MissingWatch>(pool, loop, options.missing_timeout);
      missing->start();
    }
    if (are_set(options.health)) {
      health = std::make_unique<HealthWatch>(pool, options.health);
      health->start();
    }
  }

  void stop_watching() {
    if (health) health->stop();
    if (missing) missing->stop();
    if (loop) loop->stop();
  }

  const std::shared_ptr<SlavePool> pool = std::make_shared<SlavePool>();
  const std::shared_ptr<StartedRequests> requests = std::make_shared<StartedRequests>();
  std::shared_ptr<Loop> loop;  // of `missing`
  std::shared_ptr<MissingWatch> missing;
  std::unique_ptr<HealthWatch> health;
};

SlaveCollection::SlaveCollection() : impl_(std::make_unique<Impl>()) {}

SlaveCollection::SlaveCollection(const SlaveCollectionOptions& options) : SlaveCollection() { impl_->watch(options); }

void SlaveCollection::listener_comes() noexcept { ++impl_->pool->listeners; }
void SlaveCollection::listener_goes() noexcept { --impl_->pool->listeners; }
const std::shared_ptr<Names>& SlaveCollection::names() const noexcept { return impl_->pool->names; }

bool SlaveCollection::has(std::string_view name) const { return impl_->pool->has(name, impl_->pool->lock()); }

SlaveCollection::~SlaveCollection() {
  if (impl_->pool->listeners > 0) {
    misuse(
        "a SlaveCollection is destroyed before a listener or a launcher that fills it: declare the collection first");
  }
  if (impl_->pool->notices->is_this_thread() || impl_->requests->is_this_thread() ||
      (impl_->health && impl_->health->is_this_thread())) {
    misuse("a SlaveCollection is destroyed by a callback of its own: destroy it in another thread");
  }
  impl_->stop_watching();
  impl_->pool->notices->close();
  impl_->requests->stop();
  assert(!impl_->pool->has_callers());
  // Here, not later when the last callback of a slave releases the pool.
  const auto dropped = impl_->pool->entries();
  for (const auto& entry : *dropped) impl_->pool->remove(entry);
}

bool SlaveCollection::add_slave(std::shared_ptr<Slave> slave) {
  if (!slave) throw Error(Errc::invalid_argument, {}, "add_slave", "there is no slave");
  if (!slave->is_connected()) return false;
  if (const auto same = find(slave->name())) {
    if (same == slave) return false;
    if (!same->is_connected()) remove_slave(*same);  // its Departure is about to remove it
  }
  Leftovers leftovers;
  return add_here(slave, leftovers);
}

/// Adds a slave without touching any other one, whose object may be of the user's class: on any thread. Throws Error
/// (in_use) if another slave of its name is in the collection.
bool SlaveCollection::add_here(const std::shared_ptr<Slave>& slave, Leftovers& leftovers) {
  if (!slave->is_connected()) return false;
  Backend& backend = *slave->backend_;
  const auto entry = std::make_shared<SlaveEntry>(slave, backend);
  // Once, however often the slave is added; and before it is added, so that it is never in without a Departure.
  if (backend.has_to_ask(impl_->pool.get())) backend.on_lost(std::make_unique<Departure>(impl_->pool, backend));
  if (!impl_->pool->add(entry)) return false;
  if (backend.is_draining()) impl_->pool->drain(backend);  // its Departure may have been called before
  if (slave->is_connected()) return true;
  std::shared_ptr<const SlaveEntries> dropped;
  impl_->pool->remove(entry, dropped);  // its Departure may have run before
  leftovers.push_back(std::move(dropped));
  return false;
}

bool SlaveCollection::remove_slave(const Slave& slave) {
  const auto entry = impl_->pool->entry_of(*slave.backend_);
  if (!entry || !impl_->pool->remove(entry)) return false;
  if (slave.backend_->is_draining()) slave.backend_->let_go_when_idle();  // in place of the pool, which had it reserved
  return true;
}

void SlaveCollection::pause(const std::string& name, const std::string& reason) { impl_->pool->pause(name, reason); }

bool SlaveCollection::resume(const std::string& name) { return impl_->pool->resume(name); }

std::shared_ptr<Slave> SlaveCollection::get_slave(Deadline deadline, const SlaveFilter& filter) {
  return get_slave({.filter = filter, .deadline = deadline});
}

std::shared_ptr<Slave> SlaveCollection::get_slave(const GetSlaveOptions& options) {
  const SlaveWish wish{options.filter,
                       options.compare,
                       options.stop,
                       options.explain,
                       {.share = share_of(options.slots, options.resources, false)}};
  Tick none = 0;
  const auto entry = acquire(*impl_->pool, wish, options.deadline.begin(), none);
  return entry ? entry->slave : nullptr;
}

Lease SlaveCollection::reserve(const ReserveOptions& options) {
  LeaseMaker lease_maker(impl_->pool);
  const SlaveWish wish{
      options.filter,
      options.compare,
      options.stop,
      options.explain,
      {.share = share_of(options.slots, options.resources, true), .alone = true, .owner = options.owner}};
  Tick lease = 0;
  const auto entry = acquire(*impl_->pool, wish, options.deadline.begin(), lease);
  return entry ? lease_maker.make(*entry, lease, !wish.demand.share.empty()) : Lease();
}

Pending<std::shared_ptr<Slave>> SlaveCollection::start_get_slave(GetSlaveOptions options) {
  return StartedRequests::start_get_slave(impl_->pool, impl_->requests, std::move(options));
}

Pending<Lease> SlaveCollection::start_reserve(ReserveOptions options) {
  return StartedRequests::start_reserve(impl_->pool, impl_->requests, std::move(options));
}

SlaveSubscription SlaveCollection::on_change(std::function<void(const SlaveNotice&)> callback) {
  return impl_->pool->notices->subscribe(std::move(callback));
}

std::vector<std::shared_ptr<Slave>> SlaveCollection::get_all_slaves() const {
  const auto in = impl_->pool->entries();
  std::vector<std::shared_ptr<Slave>> slaves;
  slaves.reserve(in->size());
  for (const auto& entry : *in) slaves.push_back(entry->slave);
  return slaves;
}

std::shared_ptr<Slave> SlaveCollection::find(const std::string& name) const { return impl_->pool->find(name); }

std::size_t SlaveCollection::size() const { return impl_->pool->size(); }

std::vector<SlaveStatus> SlaveCollection::snapshot() const {
  std::shared_ptr<const SlaveEntries> in;
  std::vector<SlaveStatus> statuses = impl_->pool->states(in);
  for (std::size_t i = 0; i < in->size(); ++i) statuses[i].info = (*in)[i]->slave->backend_->info_copy();
  return statuses;
}

std::vector<MissingSlave> SlaveCollection::missing() const { return impl_->pool->missing(); }

std::uint64_t SlaveCollection::version() const { return impl_->pool->version(); }

bool SlaveCollection::wait_for_change(std::uint64_t seen, Deadline deadline, const std::stop_token& stop) const {
  return impl_->pool->wait_for({.version = seen, .count = 0}, "wait_for_change", deadline, stop);
}

std::shared_ptr<Slave> SlaveCollection::wait_for_successor(const Slave& slave, Deadline deadline,
                                                           const std::stop_token& stop) const {
  const std::string_view name = slave.backend_->name();
  for (;;) {
    const std::uint64_t seen = impl_->pool->version();
    auto found = impl_->pool->find(name);
    if (found && found.get() != &slave && found->is_connected()) return found;
    found.reset();  // it may be the last handle
    const SlavePool::Change change{.version = seen, .count = 0};
    if (!impl_->pool->wait_for(change, "wait_for_successor", deadline, stop)) return nullptr;
  }
}

bool SlaveCollection::wait_for_slaves(std::size_t count, Deadline deadline, const std::stop_token& stop) const {
  return impl_->pool->wait_for({.version = std::nullopt, .count = count}, "wait_for_slaves", deadline, stop);
}

}  // namespace remsh
