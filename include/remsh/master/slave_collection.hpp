// SlaveCollection: find, wait for, reserve and list slaves; knows no listener.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/lease.hpp>
#include <remsh/master/pending.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/slave_filter.hpp>
#include <remsh/master/slave_notice.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace remsh {

class Admissions;
class Names;
class SlaveCollection;

/// What get_slave() is asked for.
struct GetSlaveOptions {
  SlaveFilter filter = {};     ///< which slaves qualify
  SlaveCompare compare = {};   ///< which of those is the best; empty: a random one is chosen
  CallDeadline deadline = {};  ///< how long to wait for one: `5s`, remsh::no_wait; as long as it takes by default
  std::stop_token stop = {};   ///< ends the wait with Cancelled
  bool explain = false;        ///< if no slave comes in time, throw a Timeout that says why none fits
};

/// What reserve() is asked for.
struct ReserveOptions {
  SlaveFilter filter = {};     ///< which slaves qualify
  SlaveCompare compare = {};   ///< which of those is the best; empty: a random one is chosen
  std::string owner = {};      ///< for whom: shown by snapshot() while the slave is reserved
  CallDeadline deadline = {};  ///< how long to wait for one: `5s`, remsh::no_wait; as long as it takes by default
  std::stop_token stop = {};   ///< ends the wait with Cancelled
  bool explain = false;        ///< if no slave comes in time, throw a Timeout that says why none fits
};

/// A slave of a collection as a status page shows it.
struct SlaveStatus {
  SlaveInfo info;
  std::chrono::system_clock::time_point since;  ///< when it came into the collection
  bool reserved = false;
  bool releasing = false;   ///< still reserved, since what was started under the released lease has not ended yet
  std::string reserved_by;  ///< the `owner` that reserve() was given
};

/// The connected slaves. Listeners put them in, and they leave when their connection ends. Thread-safe.
///
///     auto slave = slaves.get_slave(remsh::block, remsh::label("os", "linux"));
///
/// Destroy it after the listeners that fill it, and when no thread waits in it any more. Leases, subscriptions and
/// started requests may outlive it.
class REMSH_API SlaveCollection {
 public:
  SlaveCollection();
  SlaveCollection(const SlaveCollection&) = delete;
  SlaveCollection& operator=(const SlaveCollection&) = delete;
  ~SlaveCollection();

  /// Puts a slave in; it leaves by itself when its connection ends. False if it is in already or its connection has
  /// ended. Throws Error with in_use if another slave of the same name is in.
  bool add_slave(std::shared_ptr<Slave> slave);

  /// Takes a slave out; it stays connected. Ends its lease: put back, it is free. False if it was not in.
  bool remove_slave(const Slave& slave);

  /// A slave that is not reserved and qualifies. Waits for one until the deadline; null if none came in time (with
  /// `explain`: throws Timeout). A stop throws Cancelled. Others may get the same slave: reserve() gives one to its
  /// caller alone.
  [[nodiscard]] std::shared_ptr<Slave> get_slave(const GetSlaveOptions& options);

  /// The same in short, for the most common options.
  [[nodiscard]] std::shared_ptr<Slave> get_slave(Deadline deadline, const SlaveFilter& filter = {});

  /// As get_slave(), and nobody else gets the slave until the lease is released. Callers that wait are served in the
  /// order in which they came. An empty lease if no slave came in time.
  [[nodiscard]] Lease reserve(const ReserveOptions& options);

  /// get_slave() without a thread that waits. Looks at all slaves at once, in this thread. If none fits, the request is
  /// in the queue when this returns, and goes on by itself; from then on its filter and its comparison are called on a
  /// thread of the library, those of all started requests one after the other, and must be thread-safe. What they throw
  /// comes out of Pending::wait(). Cancelling or destroying the Pending waits for a filter of it that runs.
  Pending<std::shared_ptr<Slave>> start_get_slave(GetSlaveOptions options);

  /// reserve() in the same way. A lease that nobody has taken is released with its Pending.
  Pending<Lease> start_reserve(ReserveOptions options);

  /// Calls back when a slave arrives, leaves, is reserved or is free again, until the subscription is destroyed. The
  /// callback is called on a service thread without a lock, in the order of the changes, one at a time. It may block
  /// and may use the collection; what it throws is dropped. If 65,536 notices wait for it, further ones are dropped and
  /// counted in SlaveNotice::missed. Slaves that are in already are not reported: get_all_slaves() after on_change()
  /// misses none. The destructor of the collection waits for the callbacks, so it must not run in one.
  [[nodiscard]] SlaveSubscription on_change(std::function<void(const SlaveNotice&)> callback);

  /// All that are in, reserved or not, in the order of arrival.
  [[nodiscard]] std::vector<std::shared_ptr<Slave>> get_all_slaves() const;

  /// The slave of this name; null if it is not in.
  [[nodiscard]] std::shared_ptr<Slave> find(const std::string& name) const;

  [[nodiscard]] std::size_t size() const;

  /// What a status page shows, in the order of arrival.
  [[nodiscard]] std::vector<SlaveStatus> snapshot() const;

  /// A number that grows with every slave that comes, leaves, is reserved or released.
  [[nodiscard]] std::uint64_t version() const;

  /// Waits until version() is above `seen`; false if the deadline passes first. A stop throws Cancelled.
  bool wait_for_change(std::uint64_t seen, Deadline deadline, const std::stop_token& stop = {}) const;

  /// Waits until at least `count` slaves are in; false if the deadline passes first. A stop throws Cancelled.
  bool wait_for_slaves(std::size_t count, Deadline deadline, const std::stop_token& stop = {}) const;

 private:
  friend class Admissions;
  friend class SlaveLauncher;
  void listener_comes() noexcept;
  void listener_goes() noexcept;
  [[nodiscard]] const std::shared_ptr<Names>& names() const noexcept;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
