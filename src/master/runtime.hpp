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

/// One io thread, and service threads as needed. Thread-safe. The threads end when the last owner releases the object,
/// which must not happen on one of them.
///
/// Functions that block never delay others (decision 0012). Each admission that blocks has a thread of its own, and
/// ListenerOptions::max_handshakes bounds their number. The callbacks for the end of slaves have other threads, so that
/// neither group waits for the other. The functions that follow keys have threads without user code, so that nothing
/// delays the end of a key.
class Runtime {
 public:
  explicit Runtime(const Clock& clock = real_clock()) : loop_(Loop::start(clock)) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime() {
    admission_threads_.stop();  // what its functions have begun may still need the loop
    farewell_threads_.stop();
    watch_threads_.stop();
    loop_->stop();
  }

  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }

  /// For the functions of admissions that may block: at most one per admission at a time.
  [[nodiscard]] ServiceThreads& admission_threads() noexcept { return admission_threads_; }

  /// For the functions that run when a slave's connection has ended.
  [[nodiscard]] ServiceThreads& farewell_threads() noexcept { return farewell_threads_; }

  /// For the functions that follow key files and the clock: at most two per listener at a time.
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
