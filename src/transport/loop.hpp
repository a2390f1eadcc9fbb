// Loop: the io thread, which accepts, keeps time and watches the connections on which no thread waits. Does not include
// Asio.
#pragma once

#include "base/clock.hpp"
#include "os/parking.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/transport/transport.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace remsh {

/// Called by the loop when a direction that it armed is ready. Loop thread only; ignore a stale number.
class Watched {
 public:
  virtual void on_ready(std::uint32_t number, Ready directions) = 0;

 protected:
  ~Watched() = default;
};

/// One thread that watches descriptors, keeps time and runs small functions. Thread-safe.
///
/// Events carry a slot and a number, never a pointer, and a slot refers to its Watched weakly: a late event finds no
/// object, or an old number. No user code runs here, except the log hook.
class Loop {
 public:
  using TimerId = std::uint64_t;

  /// Starts the thread, which blocks all signals. Its timers, and all functions on it, use the time of `clock`, which
  /// must outlive it.
  static std::shared_ptr<Loop> start(const Clock& clock = real_clock());

  /// Makes a loop without a thread, for simulations: it runs inside run_due(), and watches no descriptor. A thread that
  /// parks calls `step` repeatedly, which simulates other events and advances the clock. One thread at a time.
  static std::shared_ptr<Loop> make_driven(const Clock& clock, std::function<void()> step);

  /// For a driven loop: runs everything that was posted or is due. Returns the time of the next timer; max() if there
  /// is none.
  TimePoint run_due();

  /// Like Parking::park_until(), for a thread that uses the time of this loop.
  bool park(Parking& parking, TimePoint deadline);

  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();  ///< stops

  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }
  [[nodiscard]] TimePoint now() const noexcept { return clock_.now(); }

  /// Call it after moving a clock that is not the real one: runs the timers that are due, on the loop.
  void clock_moved();

  /// Runs a function on the loop, soon and in order. After stop() it is dropped.
  void post(std::function<void()> function);

  /// Runs a function on the loop at a time; returns an id for cancel().
  TimerId at(TimePoint when, std::function<void()> function);

  /// Returns true if the function has not begun and never will. On the loop thread, false means that it has run.
  bool cancel(TimerId id);

  /// Allocates a slot for an object that will be notified. The token of its events is token(slot, number).
  std::uint32_t add(std::weak_ptr<Watched> watched);
  void remove(std::uint32_t slot);
  static constexpr std::uint64_t token(std::uint32_t slot, std::uint32_t number) noexcept {
    return static_cast<std::uint64_t>(slot) << 32U | number;
  }

  /// The watcher for transports and for single descriptors.
  [[nodiscard]] Watcher& watcher() noexcept;

  [[nodiscard]] bool is_this_thread() const noexcept;

  /// Ends the thread and joins it; posted functions that have not begun are dropped. Never on the loop's own thread.
  void stop();

 private:
  struct Impl;
  explicit Loop(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  const Clock& clock_;
};

}  // namespace remsh
