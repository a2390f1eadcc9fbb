// Errand: blocking code that runs in the thread that waits for it, or on one of its own.
#pragma once

#include "base/patience.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/master/work.hpp>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace remsh {

/// Blocking code, made into something that can be polled: waited for, it runs in the thread that waits; suspended
/// first, on a thread of its own. In either case the callbacks that it passes on run in the thread that drives it.
/// Destroyed before it is over, it is stopped and waited for. One thread at a time.
class Errand {
 public:
  /// `body` gets the caller's patience, and throws only what a callback has thrown.
  Errand(const Patience& patience, std::function<void(Errand&, const Patience&)> body);
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;
  ~Errand();

  void suspend();
  bool poll(const Waker& wake);
  bool wait_until(TimePoint until);

  /// For the body: runs a callback in the thread that drives, and waits for it.
  void pass(const std::function<void()>& callback);

  /// For whom this thread acts: the one whose callback it runs, else itself.
  [[nodiscard]] static std::thread::id acting_for() noexcept;

 private:
  bool serve(std::unique_lock<std::mutex>& lock);
  void tell(std::unique_lock<std::mutex>& lock);

  const std::function<void(Errand&, const Patience&)> body_;
  Patience patience_;
  std::stop_source stop_;  // our own, and the caller's
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Waker wake_;
  const std::function<void()>* callback_ = nullptr;  // that is to be run
  std::exception_ptr thrown_;                        // by the callback, then by the body
  bool is_left_ = false;                             // nobody will run a callback any more
  bool is_over_ = false;
  bool has_thread_ = false;  // known before the thread itself is
  std::thread thread_;       // for who drives it
};

}  // namespace remsh
