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

/// Runs functions that may block, as user code does: one that never returns costs its thread, and nobody else's time.
///
/// One thread is there from the start, so that there always is one. A few more are started at once when they are
/// needed; beyond those one at a time, whenever a function has waited for `patience`: many short functions share a few
/// threads, and behind those that block the others still get theirs. Threads that were idle for `idle_time` end.
/// Thread-safe.
class ServiceThreads {
 public:
  /// Calls a function after a time, on a thread that never blocks; what it is given does not either.
  using Later = std::function<void(Duration, std::function<void()>)>;

  static constexpr std::size_t prompt = 4;  // so many are started at once
  static constexpr Duration patience = std::chrono::milliseconds(2);

  struct Options {
    std::size_t most;  // threads; where all of them are blocked, further functions wait
    Duration idle_time = std::chrono::seconds(10);
  };

  /// What `later` was given must not be called when this object has gone. Throws std::system_error where no thread can
  /// be had.
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
  std::size_t taken_ = 0;       // functions that a thread took, ever
  std::size_t seen_taken_ = 0;  // that at the last look
  std::vector<std::thread> threads_;
  std::vector<std::thread> ended_;  // to be joined
  std::size_t starting_ = 0;
  std::size_t idle_ = 0;
  bool looks_ = false;  // a look is due
  bool stopping_ = false;
};

}  // namespace remsh
