// StuckThreads: the threads that a slave leaves behind, as their operations do not return.
#pragma once

#include "rpc/stuck_thread.hpp"

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace remsh {

/// The threads of ended connections that are still inside an operation, and the thread that removes what killed slaves
/// have left. They are joined as they return. Those that never do are detached at the end, as no process can end a
/// thread that hangs in the kernel. Thread-safe.
class StuckThreads {
 public:
  StuckThreads() = default;
  StuckThreads(const StuckThreads&) = delete;
  StuckThreads& operator=(const StuckThreads&) = delete;

  ~StuckThreads() {
    join_returned();
    for (auto& stuck : threads_) stuck.thread.detach();
  }

  void add(std::vector<rpc::StuckThread> threads) {
    join_returned();
    const std::lock_guard lock(mutex_);
    for (auto& stuck : threads) threads_.push_back(std::move(stuck));
  }

  /// The number of threads that have not returned.
  [[nodiscard]] std::size_t size() {
    join_returned();
    const std::lock_guard lock(mutex_);
    return threads_.size();
  }

 private:
  void join_returned() {
    const std::lock_guard lock(mutex_);
    std::erase_if(threads_, [](rpc::StuckThread& stuck) {
      if (!*stuck.has_returned) return false;
      stuck.thread.join();
      return true;
    });
  }

  std::mutex mutex_;
  std::vector<rpc::StuckThread> threads_;
};

}  // namespace remsh
