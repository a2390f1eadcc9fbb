// The part of SlavePool that is about shares of slaves.
#include "auth/resources.hpp"
#include "master/backend.hpp"
#include "master/slave_pool.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

namespace remsh {

std::uint64_t SlavePool::taken_of(const SlaveEntry& entry, std::string_view resource) {
  if (!entry.shared) return 0;
  const auto taken = entry.shared->taken.find(resource);
  return taken == entry.shared->taken.end() ? 0 : taken->second;
}

bool SlavePool::announces(const SlaveEntry& entry, const Share& share) {
  return std::all_of(share.begin(), share.end(),
                     [&](const auto& one) { return one.second <= entry.backend.resource(one.first); });
}

/// Whether this share of the slave is free; for an empty share, whether nobody has any share. The caller has checked
/// that the slave is not reserved as a whole.
bool SlavePool::is_free(const SlaveEntry& entry, const Share& share) {
  if (share.empty()) return !entry.shared;
  return std::all_of(share.begin(), share.end(), [&](const auto& one) {
    const std::uint64_t all = entry.backend.resource(one.first);
    return one.second <= all && taken_of(entry, one.first) <= all - one.second;
  });
}

/// Whether it is kept for a request before this one.
bool SlavePool::is_kept_from(const SlaveEntry& entry, const QueuedRequest& request) const {
  return entry.kept && kept_for_.at(&entry)->order_ < request.order_;
}

void SlavePool::keep(SlaveEntry& entry, const Demand& demand, QueuedRequest& self, const Lock& /*held*/) {
  if (!demand.alone || self.kept_ != nullptr || !entry.shared || !entry.open.load(std::memory_order_relaxed)) return;
  if (is_kept_from(entry, self)) return;
  keep_no_longer(entry);
  kept_for_.emplace(&entry, &self);
  entry.kept = true;
  self.kept_ = &entry;
}

void SlavePool::keep_no_longer(SlaveEntry& entry) noexcept {
  if (!entry.kept) return;
  const auto at = kept_for_.find(&entry);
  at->second->kept_ = nullptr;
  kept_for_.erase(at);
  entry.kept = false;
}

/// Nobody gets anything of the slave, until it becomes free.
void SlavePool::shut(SlaveEntry& entry) noexcept {
  entry.free.store(false, std::memory_order_relaxed);
  entry.open.store(false, std::memory_order_relaxed);
  keep_no_longer(entry);
}

void SlavePool::take_share(SlaveEntry& entry, const Demand& demand, Tick& lease) {
  const Tick made = last_tick_ + 1;
  // All that may fail comes first.
  std::map<Tick, SharedLease> one{{made, SharedLease{&entry, demand.share, demand.owner}}};
  auto use = entry.shared ? std::make_unique<SharedUse>(*entry.shared) : std::make_unique<SharedUse>();
  for (const auto& [resource, count] : demand.share) use->taken[resource] += count;
  use->leases.push_back(made);
  shares_.merge(one);
  entry.shared = std::move(use);
  entry.free.store(false, std::memory_order_relaxed);
  lease = last_tick_ = made;
}

/// Returns the back end of a slave that is to be let go, which the caller does without the mutex.
Backend* SlavePool::end_share(std::map<Tick, SharedLease>::iterator at) noexcept {
  SlaveEntry& entry = *at->second.entry;
  notices->publish(
      [&] { return SlaveNotice{.kind = SlaveNotice::released, .slave = entry.slave, .owner = at->second.owner}; });
  for (const auto& [resource, count] : at->second.share) {
    const auto taken = entry.shared->taken.find(resource);
    taken->second -= count;
    if (taken->second == 0) entry.shared->taken.erase(taken);
  }
  std::erase(entry.shared->leases, at->first);
  if (entry.shared->leases.empty()) entry.shared.reset();
  shares_.erase(at);
  if (!entry.reserved) become_free(entry, set_of(entry));
  changed();
  return entry.draining && !entry.shared ? &entry.backend : nullptr;
}

SlaveShare SlavePool::status_of(const SharedLease& lease) {
  SlaveShare status{.owner = lease.owner, .releasing = lease.releasing};
  for (const auto& [resource, count] : lease.share) {
    if (resource == auth::slots_name) {
      status.slots = count;
    } else {
      status.resources.emplace(resource, count);
    }
  }
  return status;
}

}  // namespace remsh
