// Loop: the io thread, which accepts, keeps time and watches what nobody leads. No Asio in here.
#pragma once

#include "base/clock.hpp"
#include "os/parking.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/transport/transport.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace remsh {

/// Told by the loop that what it armed is ready. Loop thread only; a stale number is to be ignored.
class Watched {
 public:
  virtual void on_ready(std::uint32_t number, Ready directions) = 0;

 protected:
  ~Watched() = default;
};

/// One thread that watches descriptors, keeps time and runs small functions. Thread-safe.
///
/// Events carry a slot and a number, never a pointer, and a slot holds its Watched weakly: an event that comes late
/// finds nobody, or an old number. Nothing of the user's runs here, except the log hook.
class Loop {
 public:
  using TimerId = std::uint64_t;

  /// Starts the thread (which blocks all signals). Its timers, and all that runs on it, have the time from `clock`,
  /// which must outlive it.
  static std::shared_ptr<Loop> start(const Clock& clock = real_clock());

  /// One without a thread, for simulations: it runs within run_due(), and watches no descriptor. A thread that parks
  /// calls `step` again and again: what else happens in that world, and what moves the clock. One thread at a time.
  static std::shared_ptr<Loop> make_driven(const Clock& clock, std::function<void()> step);

  /// Of one that is driven: runs all that was posted and is due. Returns the time of the next timer; never: max().
  TimePoint run_due();

  /// As Parking::park_until(), for a thread that has the time from this loop.
  bool park(Parking& parking, TimePoint deadline);

  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();  ///< stops

  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }
  [[nodiscard]] TimePoint now() const noexcept { return clock_.now(); }

  /// To be called after a clock that is not the real one was moved: runs the timers that are due by it, on the loop.
  void clock_moved();

  /// Runs a function on the loop, soon and in order. After stop() it is dropped.
  void post(std::function<void()> function);

  /// Runs a function on the loop at a time; gives an id that cancel() takes.
  TimerId at(TimePoint when, std::function<void()> function);

  /// True where the function has not begun and now never will. On the loop thread false means: it has run.
  bool cancel(TimerId id);

  /// A slot for one who wants to be told. The token of its events is token(slot, number).
  std::uint32_t add(std::weak_ptr<Watched> watched);
  void remove(std::uint32_t slot);
  static constexpr std::uint64_t token(std::uint32_t slot, std::uint32_t number) noexcept {
    return static_cast<std::uint64_t>(slot) << 32U | number;
  }

  /// Where transports are armed, and single descriptors.
  [[nodiscard]] Watcher& watcher() noexcept;

  [[nodiscard]] bool is_this_thread() const noexcept;

  /// Ends the thread and joins it; what was posted and not begun is dropped. Never on the loop's own thread.
  void stop();

 private:
  struct Impl;
  explicit Loop(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  const Clock& clock_;
};

}  // namespace remsh
