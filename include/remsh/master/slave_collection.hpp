// SlaveCollection: find, wait for, reserve and list slaves; independent of listeners.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/master/health_limits.hpp>
#include <remsh/master/lease.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/slave_filter.hpp>
#include <remsh/master/slave_notice.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

class Admissions;
class Names;
class SlaveCollection;

/// Options of a SlaveCollection.
struct SlaveCollectionOptions {
  /// A name that has a key at a listener of the collection, and no slave in the collection for this long, is reported
  /// once by a notice `missing`. 0: not reported. If it is set, the collection has a thread of its own.
  std::chrono::milliseconds missing_timeout{0};

  /// When a slave is not well, and so out of service. By default never. If a limit is set, the collection has a thread
  /// of its own for this, and asks each slave again and again.
  HealthLimits health = {};
};

/// Options of get_slave().
struct GetSlaveOptions {
  SlaveFilter filter = {};     ///< which slaves qualify
  SlaveCompare compare = {};   ///< which of those is the best; empty: a random one is chosen
  CallDeadline deadline = {};  ///< how long to wait for one: `5s`, remsh::no_wait; as long as it takes by default
  std::stop_token stop = {};   ///< ends the wait with Cancelled
  bool explain = false;        ///< if no slave comes in time, throw a Timeout that says why none fits
  /// If one of these is set, the slave may be in use by reservations of shares, and has to have this much free: see
  /// ReserveOptions. Nothing of it is reserved.
  std::uint64_t slots = 0;
  std::map<std::string, std::uint64_t> resources = {};
};

/// Options of reserve().
struct ReserveOptions {
  SlaveFilter filter = {};     ///< which slaves qualify
  SlaveCompare compare = {};   ///< which of those is the best; empty: a random one is chosen
  std::string owner = {};      ///< who reserves it: shown by snapshot() while the slave is reserved
  CallDeadline deadline = {};  ///< how long to wait for one: `5s`, remsh::no_wait; as long as it takes by default
  std::stop_token stop = {};   ///< ends the wait with Cancelled
  bool explain = false;        ///< if no slave comes in time, throw a Timeout that says why none fits

  /// How many of the slots that a slave has announced (SlaveInfo::slots), and of each of its resources, as {"gpu", 1}.
  /// If neither is set, the whole slave is reserved. Otherwise this share of it: others may have other shares at the
  /// same time, as long as there are enough for all. The slave does not see to it that its commands use no more.
  std::uint64_t slots = 0;
  std::map<std::string, std::uint64_t> resources = {};
};

/// A part of a slave that is reserved: see ReserveOptions::slots.
struct SlaveShare {
  std::string owner = {};  ///< the `owner` that reserve() was given
  std::uint64_t slots = 0;
  std::map<std::string, std::uint64_t> resources = {};
  bool releasing = false;  ///< still reserved, because operations of the released lease have not ended yet
};

/// The state of one slave of a collection, for a status page.
struct SlaveStatus {
  SlaveInfo info;
  std::chrono::system_clock::time_point since;   ///< when it entered the collection
  Incarnation incarnation = Incarnation::first;  ///< what it is to the last slave of this name
  bool reserved = false;                         ///< as a whole
  bool releasing = false;               ///< still reserved, because operations of the released lease have not ended yet
  std::string reserved_by;              ///< the `owner` that reserve() was given
  std::vector<SlaveShare> shares = {};  ///< what is reserved of it, if it is not reserved as a whole
  bool kept = false;    ///< a caller waits for more of it than is free, and those behind it get nothing of it
  bool paused = false;  ///< by SlaveCollection::pause(); it may be reserved meanwhile
  std::string pause_reason;
  std::string unwell = {};  ///< which limit of health it is beyond, and so out of service; empty if it is well
  bool draining = false;    ///< it has announced that it ends: see SlaveNotice::draining
};

/// A name that has a key at a listener of the collection, and no slave in the collection. Keys that have expired or
/// were used up do not count, nor do invitations.
struct MissingSlave {
  std::string name;
  /// When the last slave of this name left the collection; nullopt if there was none, or it is too long ago.
  std::optional<std::chrono::system_clock::time_point> last_seen = {};
  std::optional<DisconnectReason> reason = {};  ///< why it left; nullopt if remove_slave() took it out
  std::string words = {};                       ///< why it left, for people
};

/// The connected slaves. Listeners add them, and they leave when their connection ends. Thread-safe.
///
///     auto slave = slaves.get_slave(remsh::block, remsh::label("os", "linux"));
///
/// Destroy it after the listeners that fill it, and when no thread waits in it. Leases, subscriptions and started
/// requests may outlive it.
class REMSH_API SlaveCollection {
 public:
  SlaveCollection();
  /// Throws Error (invalid_argument) if a time or a limit makes no sense.
  explicit SlaveCollection(const SlaveCollectionOptions& options);
  SlaveCollection(const SlaveCollection&) = delete;
  SlaveCollection& operator=(const SlaveCollection&) = delete;
  ~SlaveCollection();

  /// Adds a slave, which leaves when its connection ends. Returns false if it is in the collection already or its
  /// connection has ended. Throws Error with in_use if another slave of the same name is in the collection.
  bool add_slave(std::shared_ptr<Slave> slave);

  /// Removes a slave, which stays connected, and ends its lease: if added again, it is free. Returns false if it was
  /// not in the collection.
  bool remove_slave(const Slave& slave);

  /// Takes the slave of this name out of service, and any that comes with the name later: get_slave() and reserve()
  /// pass it by until resume(). What runs on it goes on, and so does its lease. `reason` is for people: snapshot(),
  /// notices and explanations have it. A second call replaces the reason.
  void pause(const std::string& name, const std::string& reason);

  /// Puts the slave of this name back into service. Returns false if the name was not paused.
  bool resume(const std::string& name);

  /// Returns a slave that qualifies, is neither paused nor draining, and of which nothing is reserved. Waits for one
  /// until the deadline. Returns null if none came in time; with `explain`, throws Timeout instead. A stop throws
  /// Cancelled. Other callers may get the same slave; reserve() gives it to one caller only.
  [[nodiscard]] std::shared_ptr<Slave> get_slave(const GetSlaveOptions& options);

  /// Short form for the most common options.
  [[nodiscard]] std::shared_ptr<Slave> get_slave(Deadline deadline, const SlaveFilter& filter = {});

  /// Like get_slave(), but no other caller gets the slave, or the share of it, until the lease is released. Waiting
  /// callers are served in the order in which they came: if too little of a slave is free for one of them, those behind
  /// it get nothing more of this slave. Returns an empty lease if no slave came in time.
  [[nodiscard]] Lease reserve(const ReserveOptions& options);

  /// Like get_slave(), without a thread that waits. Checks all slaves at once, in this thread. If none fits, the
  /// request is queued before this returns. From then on its filter and its comparison are called in a thread of the
  /// library, one started request after the other, and must be thread-safe. Pending::wait() throws their exceptions.
  /// Cancelling or destroying the Pending waits for a running filter of this request.
  Pending<std::shared_ptr<Slave>> start_get_slave(GetSlaveOptions options);

  /// Like reserve(), without a thread that waits. A lease that is not taken is released with its Pending.
  Pending<Lease> start_reserve(ReserveOptions options);

  /// Calls back when a slave arrives, leaves, is reserved, released, paused, resumed, about to end or missing, until
  /// the subscription is destroyed. The callback is called in a service thread without a lock, in the order of the
  /// changes, one at a time. It may block and may use the collection; its exceptions are dropped. If 65,536 notices
  /// wait for it, further ones are dropped and counted in SlaveNotice::missed. Slaves that are already in the
  /// collection are not reported; call get_all_slaves() after on_change() to miss none. The destructor of the
  /// collection waits for the callbacks, so it must not run in one.
  [[nodiscard]] SlaveSubscription on_change(std::function<void(const SlaveNotice&)> callback);

  /// All slaves, reserved or not, in the order of arrival.
  [[nodiscard]] std::vector<std::shared_ptr<Slave>> get_all_slaves() const;

  /// The slave with this name; null if there is none.
  [[nodiscard]] std::shared_ptr<Slave> find(const std::string& name) const;

  [[nodiscard]] std::size_t size() const;

  /// The state of all slaves for a status page, in the order of arrival.
  [[nodiscard]] std::vector<SlaveStatus> snapshot() const;

  /// The slaves that are expected, as their names have keys, and are not there, in the order of their names. A
  /// listener brings its keys when it is made. A key that is removed from its file or ring does not count any more.
  [[nodiscard]] std::vector<MissingSlave> missing() const;

  /// A number that grows with each change that on_change() reports.
  [[nodiscard]] std::uint64_t version() const;

  /// Waits until version() is greater than `seen`. Returns false if the deadline passes first. A stop throws Cancelled.
  bool wait_for_change(std::uint64_t seen, Deadline deadline, const std::stop_token& stop = {}) const;

  /// Waits until a slave of this name is in the collection that is not `slave`, and returns it. Returns null if the
  /// deadline passes first. A stop throws Cancelled. Other callers may get the new slave as well; a job that reboots
  /// its machine as a step keeps it by Lease::expect_disconnect().
  [[nodiscard]] std::shared_ptr<Slave> wait_for_successor(const Slave& slave, Deadline deadline,
                                                          const std::stop_token& stop = {}) const;

  /// Waits until the collection has at least `count` slaves. Returns false if the deadline passes first. A stop throws
  /// Cancelled.
  bool wait_for_slaves(std::size_t count, Deadline deadline, const std::stop_token& stop = {}) const;

 private:
  friend class Admissions;
  friend class SlaveLauncher;
  void listener_comes() noexcept;
  void listener_goes() noexcept;
  [[nodiscard]] const std::shared_ptr<Names>& names() const noexcept;
  [[nodiscard]] bool has(std::string_view name) const;
  bool add_here(const std::shared_ptr<Slave>& slave, std::vector<std::shared_ptr<const void>>& leftovers);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
