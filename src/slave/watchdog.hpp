// Watchdog: tells the service manager regularly that this program is alive.
#pragma once

#include "os/service_manager.hpp"
#include "os/threads.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace remsh {

/// Sends "WATCHDOG=1" twice in each interval of the service manager, after `check` has returned.
class Watchdog {
 public:
  /// The manager has a watchdog, and outlives this object.
  Watchdog(const ServiceManager& manager, std::function<void()> check)
      : thread_(start_thread("remsh-watchdog", [this, &manager, check = std::move(check)] {
          std::unique_lock lock(mutex_);
          do {
            check();
            manager.notify("WATCHDOG=1");
          } while (!changed_.wait_for(lock, *manager.watchdog() / 2, [this] { return is_over_; }));
        })) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;
  std::thread thread_;  // the last member, as it uses the others
};

}  // namespace remsh
