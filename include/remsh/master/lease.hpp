// Lease: a slave that is reserved for one user.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <memory>

namespace remsh {

class LeaseMaker;

/// A slave that its collection gives to no other caller: the result of SlaveCollection::reserve(). Movable, not
/// copyable. One thread at a time.
///
///     remsh::Lease lease = slaves.reserve({.owner = "build 17", .deadline = 30s});
///     if (lease) lease->execute({"make"});
///
/// After the lease is released or destroyed, the slave becomes free when every operation that was started on it during
/// the lease has ended, or when the slave is gone. An operation that its caller has left (because of a deadline, a stop
/// token or a dropped Pending) has ended when the slave reports its end: for a command, when its processes are gone. A
/// Slave handle is shared, so the operations of all threads count, except those that were started before the lease or
/// after its release.
class REMSH_API Lease {
 public:
  Lease() noexcept;
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();  ///< release()

  /// True if the lease holds a slave, connected or not. False if no slave came in time, and after release() or a move.
  [[nodiscard]] explicit operator bool() const noexcept { return slave_ != nullptr; }

  /// Null if the lease is empty.
  [[nodiscard]] const std::shared_ptr<Slave>& slave() const noexcept { return slave_; }

  /// Throws Error (invalid_argument) if the lease is empty.
  Slave* operator->() const { return &**this; }
  [[nodiscard]] Slave& operator*() const {
    if (!slave_) throw_empty();
    return *slave_;
  }

  /// Gives the slave back, returns at once, and leaves the lease empty. The slave becomes free when everything that was
  /// started under the lease has ended; until then snapshot() shows it as `releasing`. Does nothing if the lease is
  /// empty.
  void release() noexcept;

  /// Like release(), but the slave is free at once, even if operations still run on it: the next holder shares the
  /// slave with their commands and files. Use it only if the next job can tolerate that.
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
