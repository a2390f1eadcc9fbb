// Lease: a slave that is reserved for one user.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <memory>

namespace remsh {

class LeaseMaker;

/// A slave that its collection gives to nobody else: what SlaveCollection::reserve() returns. Moved, not copied. One
/// thread at a time.
///
///     remsh::Lease lease = slaves.reserve({.owner = "build 17", .deadline = 30s});
///     if (lease) lease->execute({"make"});
///
/// When it is released or destroyed, the slave becomes free as soon as every operation has ended that was started on it
/// since it was reserved, or the slave is gone. An operation that its caller has left (because of a deadline, a stop
/// token or a dropped Pending) has ended when the slave says so: for a command, when its processes are gone. A Slave
/// handle is shared, so the operations of all threads count, but none that was started before the lease or after its
/// release.
class REMSH_API Lease {
 public:
  Lease() noexcept;
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();  ///< release()

  /// True if it holds a slave, connected or not. False if no slave came in time, and after release() or a move.
  [[nodiscard]] explicit operator bool() const noexcept { return slave_ != nullptr; }

  /// Null if it is empty.
  [[nodiscard]] const std::shared_ptr<Slave>& slave() const noexcept { return slave_; }

  /// Throws Error (invalid_argument) if it is empty.
  Slave* operator->() const { return &**this; }
  [[nodiscard]] Slave& operator*() const {
    if (!slave_) throw_empty();
    return *slave_;
  }

  /// Gives the slave back, returns at once, and leaves the lease empty. The slave is free when everything has ended
  /// that was started under the lease; until then snapshot() shows it as `releasing`. Does nothing if it is empty.
  void release() noexcept;

  /// As release(), but the slave is free at once, whatever runs on it: the next holder shares it with the commands that
  /// were left behind, and with their files. Use it only if the next job does not mind.
  void release_now() noexcept;

 private:
  friend class LeaseMaker;
  struct Holder;
  Lease(std::shared_ptr<Slave> slave, std::unique_ptr<Holder> holder);
  [[noreturn]] static void throw_empty();
  std::shared_ptr<Slave> slave_;
  std::unique_ptr<Holder> holder_;
};

}  // namespace remsh
