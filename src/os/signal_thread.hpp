// SignalThread: receives signals, in a thread of its own.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <initializer_list>
#include <thread>

namespace remsh {

/// Calls a function for each signal that arrives, in a thread of its own, since a signal handler may do next to
/// nothing. The signals are blocked in the thread that constructs this object, and stay blocked. Construct it before
/// other threads are started, so that they inherit this. An ignored signal stays ignored. A signal that comes both by
/// itself and from the supervisor of this process is one.
class SignalThread {
 public:
  /// `on_signal` must not throw. Throws std::system_error if no thread can be started.
  SignalThread(std::initializer_list<int> signals, std::function<void(int)> on_signal);
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread();

 private:
  void run();

  const std::function<void(int)> on_signal_;
  sigset_t signals_{};
  int last_ = 0;  // one of the signals; 0: all of them are ignored
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

}  // namespace remsh
