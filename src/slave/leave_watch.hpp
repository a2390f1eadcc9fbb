// LeaveWatch: a thread that ends a slave when its LeaveRules say so.
#pragma once

#include "base/clock.hpp"
#include "slave/leave_rules.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace remsh {

/// Follows the time for LeaveRules. There is a thread only if there are rules, and only from start() on. Thread-safe.
class LeaveWatch {
 public:
  /// The clock must outlive it, and be the real one if there are rules.
  LeaveWatch(LeaveRules::Limits limits, const Clock& clock);
  LeaveWatch(const LeaveWatch&) = delete;
  LeaveWatch& operator=(const LeaveWatch&) = delete;
  ~LeaveWatch();  ///< calls stop()

  /// Begins to watch, if it does not already. When the slave has to end, calls `leave` once, in the thread. `work` is
  /// called from the thread, under the lock of this object.
  void start(std::function<LeaveRules::Work()> work, std::function<void()> leave);

  /// Ends the thread, and waits for it. There is no start() after it.
  void stop();

  /// A master has accepted the slave, or such a connection has ended.
  void admitted();
  void gone();

  struct Reason {
    LeaveRules::Why why{};
    std::string text;  ///< "no operation has run for 90 s"
  };

  /// Why `leave` was called; nullopt if it was not.
  [[nodiscard]] std::optional<Reason> reason() const;

 private:
  void run();

  const LeaveRules::Limits limits_;
  const Clock& clock_;
  std::function<LeaveRules::Work()> work_;  // set before the thread starts
  std::function<void()> leave_;

  mutable std::mutex mutex_;  // guards the following members
  std::condition_variable changed_;
  LeaveRules rules_;
  std::optional<LeaveRules::Why> why_;
  bool is_over_ = false;
  std::thread thread_;
};

/// While it exists, a master has accepted the slave.
class MasterPresence {
 public:
  explicit MasterPresence(LeaveWatch& watch) : watch_(watch) { watch_.admitted(); }
  MasterPresence(const MasterPresence&) = delete;
  MasterPresence& operator=(const MasterPresence&) = delete;
  ~MasterPresence() { watch_.gone(); }

 private:
  LeaveWatch& watch_;
};

}  // namespace remsh
