// Errand: blocking code that runs in the thread that waits for it, or on a thread of its own.
#pragma once

#include "base/patience.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/work.hpp>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace remsh {

/// Makes blocking code pollable. If a thread waits for it, it runs in that thread; if it is suspended first, it runs on
/// a thread of its own. In either case its callbacks run in the thread that drives it. The destructor stops an
/// unfinished errand and waits for it. One thread at a time.
class Errand {
 public:
  /// `body` gets the caller's patience, and must throw only what a callback has thrown.
  Errand(const Patience& patience, std::function<void(Errand&, const Patience&)> body);
  Errand(const Errand&) = delete;
  Errand& operator=(const Errand&) = delete;
  ~Errand();

  void suspend();
  bool poll(const Waker& wake);
  bool wait_until(TimePoint until);

  /// For the body: runs a callback in the driving thread, and waits for it.
  void pass(const std::function<void()>& callback);

  /// The thread that this one acts for: the thread of the errand whose callback it runs, otherwise itself.
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
  const std::function<void()>* callback_ = nullptr;  // to be run by the driver
  std::exception_ptr thrown_;                        // by the callback, then by the body
  bool is_left_ = false;                             // no callback will be run any more
  bool is_over_ = false;
  bool has_thread_ = false;  // set before thread_ is
  std::thread thread_;       // runs the body
};

}  // namespace remsh
