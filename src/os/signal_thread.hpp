// SignalThread: takes signals, in a thread of its own.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <initializer_list>
#include <thread>

namespace remsh {

/// Calls a function for each signal that comes, in a thread of its own, since a signal handler may do next to nothing.
/// The signals are blocked in the thread that makes this, and stay so. To be made before other threads are, so that
/// they have the signals blocked too. A signal that is ignored stays ignored.
class SignalThread {
 public:
  /// `on_signal` must not throw. Throws std::system_error if no thread can be had.
  SignalThread(std::initializer_list<int> signals, std::function<void(int)> on_signal);
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread();

 private:
  void run();

  const std::function<void(int)> on_signal_;
  sigset_t signals_{};
  int last_ = 0;  // one of the signals; 0: none of them is to be taken
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

}  // namespace remsh
