// ServiceThreads: a few threads for work that may block and has no thread of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace remsh {

/// Runs functions that may block, each on one of a few threads. One is there from the start, so that there always is
/// one; more are started when they are needed. Thread-safe.
class ServiceThreads {
 public:
  /// Throws std::system_error where no thread can be had.
  explicit ServiceThreads(unsigned most = 32);
  ServiceThreads(const ServiceThreads&) = delete;
  ServiceThreads& operator=(const ServiceThreads&) = delete;
  ~ServiceThreads() { stop(); }

  /// Runs a function soon; it must not throw. After stop() it is dropped.
  void post(std::function<void()> function);

  /// Waits until everything posted has run, and ends the threads. Never on one of them.
  void stop();

  [[nodiscard]] bool is_this_thread() const;

 private:
  void run();

  const unsigned most_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> functions_;
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

}  // namespace remsh
