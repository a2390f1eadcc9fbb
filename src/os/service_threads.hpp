// ServiceThreads: threads for work that may block and has no thread of its own.
#pragma once

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace remsh {

/// Runs functions that may block, such as user code. A function that never returns occupies its thread, and delays no
/// other.
///
/// One thread is started at once, so that there always is one. A few more are started as soon as they are needed;
/// beyond those one at a time, whenever a function has waited for `patience`. So many short functions share a few
/// threads, and functions behind blocked ones still get a thread. Threads that were idle for `idle_time` end.
/// Thread-safe.
class ServiceThreads {
 public:
  /// Calls a function after a time, on a thread that never blocks. The function does not block either.
  using Later = std::function<void(Duration, std::function<void()>)>;

  static constexpr std::size_t prompt = 4;  // how many threads are started without waiting
  static constexpr Duration patience = std::chrono::milliseconds(2);

  struct Options {
    std::size_t most;  // threads; if all of them are blocked, further functions wait
    Duration idle_time = std::chrono::seconds(10);
  };

  /// `later` must not call its functions after this object is destroyed. Throws std::system_error if no thread can be
  /// started.
  ServiceThreads(Options options, Later later);
  ServiceThreads(const ServiceThreads&) = delete;
  ServiceThreads& operator=(const ServiceThreads&) = delete;
  ~ServiceThreads() { stop(); }

  /// Runs a function soon; it must not throw. After stop() it is dropped.
  void post(std::function<void()> function);

  /// Waits until everything posted has run, and ends the threads. Never on one of them.
  void stop();

  [[nodiscard]] bool is_this_thread() const;
  [[nodiscard]] std::size_t size() const;

 private:
  void start();
  void try_to_start();
  void run();
  void look_later();
  void look();

  const Options options_;
  const Later later_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> functions_;
  std::size_t taken_ = 0;       // how many functions threads have taken
  std::size_t seen_taken_ = 0;  // the same at the last look
  std::vector<std::thread> threads_;
  std::vector<std::thread> ended_;  // to be joined
  std::size_t starting_ = 0;
  std::size_t idle_ = 0;
  bool looks_ = false;  // a look is due
  bool stopping_ = false;
};

}  // namespace remsh
