// SlaveEntry: one slave in a collection.
#pragma once

#include <remsh/master/slave.hpp>
#include <remsh/master/slave_notice.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

class Backend;

/// A moment in a collection: each slave that becomes free gets the next tick.
using Tick = std::uint64_t;

/// What a request wants of a slave: how many of each of its resources, slots among them (auth::slots_name). Empty: the
/// whole slave.
using Share = std::map<std::string, std::uint64_t, std::less<>>;

/// What is taken of a slave by leases that do not have the whole.
struct SharedUse {
  Share taken = {};  ///< by all of them together
  std::vector<Tick> leases = {};
};

/// One slave in the collection, until it leaves; a slave that comes again has another entry. The mutex of the pool
/// guards what is neither atomic nor const. The atomics are changed under it, and are only hints without it.
struct SlaveEntry : std::enable_shared_from_this<SlaveEntry> {
  SlaveEntry(std::shared_ptr<Slave> what, Backend& its_backend) : slave(std::move(what)), backend(its_backend) {}

  const std::shared_ptr<Slave> slave;
  Backend& backend;  // the slave's
  const std::chrono::system_clock::time_point since = std::chrono::system_clock::now();
  SlaveEntry* previous = nullptr;  // in the order of arrival
  SlaveEntry* next = nullptr;
  std::atomic<Tick> tick = 0;         // when it last became free
  std::unique_ptr<SharedUse> shared;  // null: nobody has a share of it
  std::atomic<bool> free = false;     // it is open, and nobody has a share of it
  std::atomic<bool> open = false;     // it is in the collection, in service, and not reserved as a whole
  Incarnation incarnation = Incarnation::first;
  // In one byte, as a master has many slaves.
  bool gone : 1 = false;
  bool reserved : 1 = false;   // as a whole
  bool kept : 1 = false;       // for a request: SlavePool
  bool paused : 1 = false;     // its name is paused; it may be reserved meanwhile
  bool unwell : 1 = false;     // it is beyond a limit of health; it may be reserved meanwhile
  bool draining : 1 = false;   // it will end when its lease has; it may be reserved meanwhile
  bool releasing : 1 = false;  // the lease was released, but operations started under it are still running
};

using SlaveEntries = std::vector<std::shared_ptr<SlaveEntry>>;

/// Orders entries by when they last became free. No two became free at the same tick.
struct ByTick {
  using is_transparent = void;
  static Tick of(const SlaveEntry* entry) noexcept { return entry->tick.load(std::memory_order_relaxed); }
  static Tick of(Tick tick) noexcept { return tick; }
  template <class A, class B>
  bool operator()(A a, B b) const noexcept {
    return of(a) < of(b);
  }
};
using EntriesByTick = std::set<SlaveEntry*, ByTick>;

}  // namespace remsh
