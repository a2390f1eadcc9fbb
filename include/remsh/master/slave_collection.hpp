// SlaveCollection: find, wait for, reserve and list slaves; knows no listener.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <cassert>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace remsh {

/// Which slaves will do; run in the thread that asks, without a lock. Empty: any. What it throws comes out of the call.
/// Callers that wait are asked in turn, so it should not take long, and must not wait in the collection itself.
using SlaveFilter = std::function<bool(const Slave&)>;

/// True where the first is the better choice. Empty: a random one of those that will do.
using SlaveCompare = std::function<bool(const Slave&, const Slave&)>;

class Admissions;
class Names;
class SlaveCollection;

/// A slave that get_slave() and reserve() of its collection give to nobody else. Moves, does not copy. One thread at a
/// time.
///
/// When it is released, or destroyed, the slave becomes free as soon as everything has ended that was started on it
/// since it was reserved, or the slave is gone. An operation whose caller has left it (by a deadline, a stop token or a
/// dropped Pending) has ended when the slave says so: for a command, when its processes are gone. A Slave handle is
/// shared, so the operations of all threads count, but none that was started before the lease or after its release.
class REMSH_API Lease {
 public:
  Lease() noexcept;
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();  ///< release()

  /// True where it holds a slave, connected or not.
  explicit operator bool() const noexcept { return slave_ != nullptr; }

  [[nodiscard]] const std::shared_ptr<Slave>& slave() const noexcept { return slave_; }
  Slave* operator->() const noexcept {
    assert(slave_ && "no slave came in time: look at the lease before using it");
    return slave_.get();
  }
  Slave& operator*() const noexcept { return *operator->(); }

  /// Gives the slave back and holds nothing any more; returns at once. The slave is free when all that was started
  /// under the lease has ended; until then snapshot() shows it as `releasing`. Does nothing the second time.
  void release() noexcept;

  /// As release(), but the slave is free at once, whatever runs on it: the next holder shares it with commands that
  /// were left, and with their files. Only for slaves on which the next job does not mind.
  void release_now() noexcept;

 private:
  friend class SlaveCollection;
  struct Holder;
  Lease(std::shared_ptr<Slave> slave, std::unique_ptr<Holder> holder);
  std::shared_ptr<Slave> slave_;
  std::unique_ptr<Holder> holder_;
};

/// A slave of a collection as a status page shows it.
struct SlaveStatus {
  SlaveInfo info;
  std::chrono::system_clock::time_point since;  ///< when it came into the collection
  bool reserved = false;
  bool releasing = false;   ///< reserved still, as what was started under the lease has not ended yet
  std::string reserved_by;  ///< the `owner` that reserve() was given
};

/// The slaves that there are now. Listeners put them in, and they leave when their connection ends. Thread-safe.
///
///     auto slave = slaves.get_slave(remsh::block, [](const remsh::Slave& s) { return s.info().system == "linux"; });
///
/// Destroying it while callers wait in it is not allowed; listeners that feed it must go first.
class REMSH_API SlaveCollection {
 public:
  SlaveCollection();
  SlaveCollection(const SlaveCollection&) = delete;
  SlaveCollection& operator=(const SlaveCollection&) = delete;
  ~SlaveCollection();

  /// Puts a slave in; it leaves by itself when its connection ends. False where it is in already or its connection has
  /// ended. Throws Error with in_use where another of the same name is in.
  bool add_slave(std::shared_ptr<Slave> slave);

  /// Takes a slave out; it stays connected. Ends its lease: put back, it is free. False if it was not in.
  bool remove_slave(const Slave& slave);

  /// A slave that is not reserved and for which the filter is true: the best by `compare`, else a random one. Waits for
  /// one until the deadline (`block`, `no_wait`, `5s`); null where none came in time. A stop throws Cancelled.
  /// Others may get the same slave: reserve() gives one alone.
  [[nodiscard]] std::shared_ptr<Slave> get_slave(Deadline deadline, const SlaveFilter& filter = {},
                                                 const SlaveCompare& compare = {}, const std::stop_token& stop = {});

  /// As get_slave(), and nobody else gets it until the lease is released. `owner` is shown by snapshot(). Who waits is
  /// served first come, first served. An empty lease where none came in time.
  [[nodiscard]] Lease reserve(Deadline deadline, const SlaveFilter& filter = {}, const SlaveCompare& compare = {},
                              const std::stop_token& stop = {}, std::string owner = {});

  /// All that are in, reserved or not, those that came first in front.
  [[nodiscard]] std::vector<std::shared_ptr<Slave>> get_all_slaves() const;

  /// The one of that name; null where it is not in.
  [[nodiscard]] std::shared_ptr<Slave> find(const std::string& name) const;

  [[nodiscard]] std::size_t size() const;

  /// What a status page shows, those that came first in front.
  [[nodiscard]] std::vector<SlaveStatus> snapshot() const;

  /// Counts up with every slave that comes, leaves, is reserved or released.
  [[nodiscard]] std::uint64_t version() const;

  /// Waits until version() is above `seen`; false where the deadline passes first. A stop throws Cancelled.
  bool wait_for_change(std::uint64_t seen, Deadline deadline, const std::stop_token& stop = {}) const;

  /// Waits until at least so many slaves are in; false where the deadline passes first. A stop throws Cancelled.
  bool wait_for_slaves(std::size_t count, Deadline deadline, const std::stop_token& stop = {}) const;

 private:
  friend class Admissions;
  friend class SlaveLauncher;
  friend class Lease;
  void listener_comes() noexcept;
  void listener_goes() noexcept;
  [[nodiscard]] const std::shared_ptr<Names>& names() const noexcept;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace remsh
