// SlavePool: the slaves of a collection, which of them are free, and the queue of requests.
#pragma once

#include "master/departures.hpp"
#include "master/names.hpp"
#include "master/slave_entry.hpp"
#include "master/slave_notices.hpp"
#include "os/parking.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/master/slave_collection.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace remsh {

class MissingWatch;

/// A request that waits in the queue of a pool. Guarded by the mutex of the pool.
class QueuedRequest {
 public:
  QueuedRequest() = default;
  QueuedRequest(const QueuedRequest&) = delete;
  QueuedRequest& operator=(const QueuedRequest&) = delete;
  virtual ~QueuedRequest() = default;

  /// Called with the mutex of the pool held, when there is a slave to look at. Must neither block nor call the pool.
  virtual void wake() noexcept = 0;

 private:
  friend class SlavePool;
  friend class SlaveRequest;
  static constexpr std::uint64_t behind_all = std::numeric_limits<std::uint64_t>::max();
  Tick cursor_ = 0;                   // it has looked at all slaves that became free up to this tick
  bool idle_ = false;                 // it must be woken when there is a slave to look at
  std::uint64_t order_ = behind_all;  // ascends in the queue
  SlaveEntry* kept_ = nullptr;        // the slave that is kept for it
};

/// The slaves of a collection, and the queue of requests. Thread-safe.
///
/// Neither user code nor the destructor of a slave runs under the mutex: what may hold the last reference to a slave is
/// declared before the lock, so that it is destroyed after it.
///
/// A slave that becomes free (it came, its lease or that of a share of it has ended, or it was resumed) gets the next
/// *tick*. A request looks at all slaves once, without a lock, and remembers up to which tick it has looked. If it must
/// wait, it joins the end of the queue with this tick as its *cursor*; from then on it looks at slaves with higher
/// ticks, one by one. So it misses none that becomes free between the look and the joining.
///
/// A queued request may look at a slave only if the request before it has done so. A slave that becomes free wakes only
/// the first request. A request that has nothing more to look at, or leaves, wakes the next one. Hence cursors never
/// grow from the front of the queue to its end.
///
/// A slave of which others have shares stays among the free ones, as more requests may have shares of it. If a queued
/// request accepts such a slave, and too little of it is free, the slave is *kept* for this request: requests behind it
/// get nothing of the slave, not even those that do not wait. So what is given back adds up, and a request for much is
/// not starved by those for little. One slave at most is kept for a request: otherwise one that waits for any slave as
/// a whole would stop all others.
class SlavePool {
 public:
  using Lock = std::unique_lock<std::mutex>;
  using Queue = std::list<QueuedRequest*>;
  static constexpr Tick any_tick = std::numeric_limits<Tick>::max();

  SlavePool() = default;
  SlavePool(const SlavePool&) = delete;
  SlavePool& operator=(const SlavePool&) = delete;

  // Slaves come and leave.

  /// False if the slave is in the pool already. Throws Error (in_use) if another slave of its name is. Drops no
  /// reference to another slave, so the io thread may call it.
  bool add(const std::shared_ptr<SlaveEntry>& entry);

  /// False if the entry was removed already. `dropped` may get the last reference to slaves.
  bool remove(const std::shared_ptr<SlaveEntry>& entry, std::shared_ptr<const SlaveEntries>& dropped);
  bool remove(const std::shared_ptr<SlaveEntry>& entry);

  /// The entry of the slave with this back end; null if the slave is not in the pool.
  [[nodiscard]] std::shared_ptr<SlaveEntry> entry_of(const Backend& backend) const;

  /// Lets no request have a slave of this name, now or later, until resume(). A lease of it goes on.
  void pause(const std::string& name, const std::string& reason);

  /// False if the name is not paused.
  bool resume(const std::string& name);

  /// Lets no request have the slave until this is called with no words. A lease of it goes on.
  void set_unwell(const std::shared_ptr<SlaveEntry>& entry, std::string why);

  /// The slave will end: no request gets it any more. True if it is reserved: then the pool lets it go at the end of
  /// the last lease; otherwise the caller has to.
  bool drain(Backend& backend) noexcept;

  // Leases. A lease is identified by a tick, which is unique: that at which its slave had last become free, or for a
  // share one of its own. So it keeps nothing alive.

  /// The holder has released the lease; the slave is not free yet. Does nothing if the lease has ended.
  void note_release(Tick lease) noexcept;

  /// Ends the lease, if the slave is still in the pool: it, or the share, is free, unless it is paused or draining. The
  /// caller must keep its back end alive until this returns.
  void end_lease(Tick lease) noexcept;

  // Slaves that leave and come again under one lease.

  /// If the slave of this lease leaves, the next one of its name is reserved for the same owner. False if no slave is
  /// reserved as a whole by this lease.
  bool expect(Tick lease, const std::string& why);

  /// The slave that was reserved in this way, once; null if none has come. Its tick is the lease.
  std::shared_ptr<SlaveEntry> take_successor(std::string_view name);

  /// Takes expect() back. If a successor has come that nobody has taken, its lease ends.
  void stop_expecting(std::string_view name) noexcept;

  // Missing slaves.

  /// The names that have a key in a listener, and no slave here.
  [[nodiscard]] std::vector<MissingSlave> missing() const;

  /// Notifies this of slaves that come and leave, from now on; null: nothing. It must live until it is replaced.
  void set_missing_watch(MissingWatch* watch) noexcept;

  /// Reports that the slave of this name has been missing for too long.
  void report_missing(const std::string& name, const Lock& lock);

  [[nodiscard]] bool has(std::string_view name, const Lock& /*held*/) const {
    return slaves_.find(name) != slaves_.end();
  }

  // Queries.

  [[nodiscard]] std::shared_ptr<Slave> find(std::string_view name) const;
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::uint64_t version() const;

  /// All slaves, in the order of arrival.
  [[nodiscard]] std::shared_ptr<const SlaveEntries> entries() const;

  /// The leases and pauses of all slaves, without SlaveStatus::info. Entry i is about (*of)[i].
  [[nodiscard]] std::vector<SlaveStatus> states(std::shared_ptr<const SlaveEntries>& of) const;

  /// A change that a caller waits for.
  struct Change {
    std::optional<std::uint64_t> version;  // come when the version is above this
    std::size_t count = 0;                 // come when there are at least this many slaves

    [[nodiscard]] bool has_come(std::uint64_t version_now, std::size_t count_now) const {
      return (!version || version_now > *version) && count_now >= count;
    }
  };

  /// Waits for a change; false if the deadline passes first. Throws Cancelled after a stop.
  bool wait_for(const Change& change, const char* operation, Deadline deadline, const std::stop_token& stop) const;

  /// Whether requests are queued, or threads wait for a change.
  [[nodiscard]] bool has_callers() const;

  // For SlaveRequest, with the mutex held.

  [[nodiscard]] Lock lock() const { return Lock(mutex_); }
  [[nodiscard]] std::shared_ptr<const SlaveEntries> entries(const Lock& lock) const;

  /// The tick up to which a new request may take slaves without passing the queue.
  [[nodiscard]] Tick open_to_all(const Lock& lock) const;
  [[nodiscard]] Tick last_tick(const Lock& /*held*/) const { return last_tick_; }

  enum class Taken : std::uint8_t {
    yes,
    no,        ///< too little of it is free, it is paused or draining, is kept for another request, or has left
    on_offer,  ///< the queued requests have not all looked at it, and the caller may not pass them
  };

  /// What a request wants of a slave that qualifies.
  struct Demand {
    Share share = {};    ///< empty: the whole
    bool alone = false;  ///< nobody else gets it until the end of the lease; otherwise it only has to be free
    std::string owner = {};
  };

  /// Takes what the demand wants, if it is free. If it is for the caller alone, `lease` becomes the lease.
  Taken take(SlaveEntry& entry, const Demand& demand, const QueuedRequest& self, bool may_pass, Tick& lease,
             const Lock& lock);

  /// Keeps a slave for a queued request that qualifies and could not be taken, if that helps.
  void keep(SlaveEntry& entry, const Demand& demand, QueuedRequest& self, const Lock& lock);

  /// Whether the slave has announced enough for a share, however much of it is in use.
  [[nodiscard]] static bool announces(const SlaveEntry& entry, const Share& share);

  /// How much of a resource leases of shares have.
  [[nodiscard]] static std::uint64_t taken_of(const SlaveEntry& entry, std::string_view resource);

  Queue::iterator join(QueuedRequest& request, Tick has_seen, const Lock& lock);
  void leave(Queue::iterator place, const Lock& lock);

  /// The slave that a queued request is to look at next; null if there is none.
  [[nodiscard]] SlaveEntry* next_for(Queue::const_iterator place, const Lock& lock) const;

  /// Lets the request behind this one look, if it has something to look at.
  void wake_next(Queue::iterator place, const Lock& lock);

  /// A number for a random order, different each time.
  [[nodiscard]] std::uint64_t next_seed() noexcept {
    return seed_.fetch_add(0x9e3779b97f4a7c15U, std::memory_order_relaxed);
  }

  std::atomic<int> listeners = 0;  // how many fill it now
  const std::shared_ptr<Names> names = std::make_shared<Names>();
  const std::shared_ptr<SlaveNotices> notices = std::make_shared<SlaveNotices>();

 private:
  struct SameName {
    using is_transparent = void;
    static std::string_view of(std::string_view name) noexcept { return name; }
    static std::string_view of(const std::shared_ptr<SlaveEntry>& entry) noexcept;
    template <class Key>
    std::size_t operator()(const Key& key) const noexcept {
      return std::hash<std::string_view>()(of(key));
    }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const noexcept {
      return of(a) == of(b);
    }
  };

  struct ChangeWaiter {
    Change change;
    Parking parking;
  };

  struct SharedLease {
    SlaveEntry* entry;
    Share share;
    std::string owner;
    bool releasing = false;
  };

  /// What a lease expects of a name.
  struct Expected {
    std::string owner;
    std::string why;
    std::shared_ptr<SlaveEntry> successor = {};  // that has come, reserved
  };

  // With the mutex held.
  void become_free(SlaveEntry& entry, EntriesByTick& from);
  void shut(SlaveEntry& entry) noexcept;
  void take_share(SlaveEntry& entry, const Demand& demand, Tick& lease);
  Backend* end_share(std::map<Tick, SharedLease>::iterator at) noexcept;
  void keep_no_longer(SlaveEntry& entry) noexcept;
  [[nodiscard]] bool is_kept_from(const SlaveEntry& entry, const QueuedRequest& request) const;
  [[nodiscard]] static bool is_free(const SlaveEntry& entry, const Share& share);
  [[nodiscard]] static SlaveShare status_of(const SharedLease& lease);
  [[nodiscard]] EntriesByTick& set_of(const SlaveEntry& entry) noexcept {
    return entry.reserved ? reserved_ : entry.paused || entry.unwell || entry.draining ? out_ : free_;
  }
  [[nodiscard]] std::string pause_of(const SlaveEntry& entry) const;
  [[nodiscard]] bool must_wait(const SlaveEntry& entry) const;
  void report_resumed(const SlaveEntry& entry) noexcept;
  void remember(const SlaveEntry& entry, const std::optional<Failure>& lost) noexcept;
  void changed();
  void wake(Queue::iterator place);
  [[nodiscard]] std::string owner_of(const SlaveEntry& entry) const;

  mutable std::mutex mutex_;
  std::unordered_set<std::shared_ptr<SlaveEntry>, SameName, SameName> slaves_;
  SlaveEntry* first_ = nullptr;  // in the order of arrival
  SlaveEntry* last_ = nullptr;
  EntriesByTick free_;      // open; others may have shares of them
  EntriesByTick reserved_;  // as a whole; takes the nodes of free_, so that becoming free cannot fail
  EntriesByTick out_;       // paused, unwell or draining, and not reserved; takes their nodes, too
  std::map<const SlaveEntry*, std::string> unwell_;         // why they are
  std::map<std::string, std::string, std::less<>> pauses_;  // the reasons, by name; the slave may be absent
  std::map<const SlaveEntry*, std::string> owners_;         // of the reserved slaves whose lease has an owner
  std::map<std::string, Expected, std::less<>> expected_;   // by name
  std::map<Tick, SharedLease> shares_;                      // by lease
  std::map<const SlaveEntry*, QueuedRequest*> kept_for_;    // no request behind this one gets anything of the slave
  Departures departures_;
  MissingWatch* missing_watch_ = nullptr;
  mutable std::shared_ptr<const SlaveEntries> all_;  // in the order of arrival; null, or without those that came since
  Queue queue_;
  mutable std::list<ChangeWaiter*> change_waiters_;
  Tick last_tick_ = 0;
  std::uint64_t last_order_ = 0;
  std::uint64_t version_ = 0;
  std::atomic<std::uint64_t> seed_ = std::random_device{}();
};

}  // namespace remsh
