// DescriptorWatch: a callback on the loop when one descriptor is ready.
#pragma once

#include "transport/loop.hpp"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace remsh {

/// Watches one descriptor that it does not own, and calls back on the loop when it is ready: for acceptors, pipes of
/// children and pidfds. Thread-safe, except for its destruction.
///
/// Destroy it before the descriptor is closed and before the loop: either on the loop thread, even inside its own
/// callback, or on another thread; the destructor then waits for a running callback. No callback runs afterwards.
class DescriptorWatch {
 public:
  DescriptorWatch(Loop& loop, int descriptor, std::function<void(Ready)> callback)
      : loop_(loop), descriptor_(descriptor), state_(std::make_shared<State>(std::move(callback))) {
    slot_ = loop_.add(state_);
  }
  DescriptorWatch(const DescriptorWatch&) = delete;
  DescriptorWatch& operator=(const DescriptorWatch&) = delete;

  ~DescriptorWatch() {
    std::unique_lock lock(state_->mutex);
    state_->removed = true;
    loop_.watcher().forget(descriptor_);
    if (!loop_.is_this_thread()) state_->idle.wait(lock, [this] { return !state_->running; });
    lock.unlock();
    loop_.remove(slot_);
  }

  /// Arms it: calls back once when one of the directions is ready. Replaces the previous arming; Ready::none disarms.
  void arm(Ready directions) {
    const std::lock_guard lock(state_->mutex);  // so that numbers reach the watcher in order
    loop_.watcher().watch(descriptor_, directions, Loop::token(slot_, ++state_->number));
  }

 private:
  struct State final : Watched {
    explicit State(std::function<void(Ready)> function) : callback(std::move(function)) {}

    void on_ready(std::uint32_t event, Ready directions) override {
      {
        const std::lock_guard lock(mutex);
        if (removed || event != number) return;
        ++number;  // this arming is used
        running = true;
      }
      callback(directions);
      const std::lock_guard lock(mutex);
      running = false;
      idle.notify_all();
    }

    std::mutex mutex;
    std::condition_variable idle;
    std::uint32_t number = 0;
    bool running = false;
    bool removed = false;
    const std::function<void(Ready)> callback;
  };

  Loop& loop_;
  const int descriptor_;
  const std::shared_ptr<State> state_;
  std::uint32_t slot_ = 0;
};

}  // namespace remsh
