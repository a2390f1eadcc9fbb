// Lease: a slave that is reserved for one user.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <memory>
#include <stop_token>
#include <string>

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

  /// For a job that reboots its slave as a step: says that the slave will leave, and why, for people. If it does, the
  /// next slave of its name is reserved for this lease, and nobody else gets it, until wait_for_successor() returns it
  /// or the lease is released. SlaveNotice::expected says that the end is no accident. Throws Error (invalid_argument)
  /// if the lease is empty or of a share of a slave, or if the slave has left already.
  ///
  ///     lease.expect_disconnect("a new kernel");
  ///     lease->start_execute({"reboot"});
  ///     if (!lease.wait_for_successor(10min)) ...   // it did not come back
  void expect_disconnect(const std::string& why);

  /// After expect_disconnect(): waits until the slave has left and the next slave of its name has come. From then on,
  /// this is a lease of the new slave. False if the deadline passes first, or the collection is gone: the lease stays
  /// as it is, and goes on to expect. A stop throws Cancelled.
  bool wait_for_successor(Deadline deadline, const std::stop_token& stop = {});

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
  void give_back(bool now) noexcept;
  std::shared_ptr<Slave> slave_;
  std::unique_ptr<Holder> holder_;
};

}  // namespace remsh
