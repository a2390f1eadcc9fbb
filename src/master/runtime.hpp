// Runtime: the threads of a master.
#pragma once

#include "base/clock.hpp"
#include "os/service_threads.hpp"
#include "transport/loop.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

namespace remsh {

/// One io thread, and service threads as they are needed. Thread-safe. Ends them when the last owner lets go, which is
/// never one of these threads.
///
/// Functions that block never stand in the way of others (decision 0012): each admission under way has a thread of its
/// own where it needs one, and their number is bounded by ListenerOptions::max_handshakes; what is to be told of the
/// end of slaves has others, so that neither waits for the other. What follows keys has threads of its own, on which
/// nothing of the user's runs, so that nothing delays the end of a key.
class Runtime {
 public:
  explicit Runtime(const Clock& clock = real_clock()) : loop_(Loop::start(clock)) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime() {
    admission_threads_.stop();  // what they began may still need the loop
    farewell_threads_.stop();
    watch_threads_.stop();
    loop_->stop();
  }

  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }

  /// For what an admission does that may block: at most one function of each at a time.
  [[nodiscard]] ServiceThreads& admission_threads() noexcept { return admission_threads_; }

  /// For what is done when a slave's connection has ended.
  [[nodiscard]] ServiceThreads& farewell_threads() noexcept { return farewell_threads_; }

  /// For what follows the files and the clock of keys: at most two functions of each listener at a time.
  [[nodiscard]] ServiceThreads& watch_threads() noexcept { return watch_threads_; }

  [[nodiscard]] bool is_service_thread() const {
    return admission_threads_.is_this_thread() || farewell_threads_.is_this_thread() || watch_threads_.is_this_thread();
  }

 private:
  [[nodiscard]] ServiceThreads::Later later() const {
    return [loop = loop_](Duration wait, std::function<void()> function) {
      loop->at(loop->now() + wait, std::move(function));
    };
  }

  const std::shared_ptr<Loop> loop_;
  ServiceThreads admission_threads_{{.most = std::numeric_limits<std::size_t>::max()}, later()};
  ServiceThreads farewell_threads_{{.most = 256}, later()};
  ServiceThreads watch_threads_{{.most = std::numeric_limits<std::size_t>::max()}, later()};
};

}  // namespace remsh
