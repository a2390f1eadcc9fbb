// RunningOperations: the operations of a worker that are running, for back ends that have no other list of them.
#pragma once

#include "base/operations_end.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace remsh {

/// Numbers operations in the order in which they begin, and knows which of them are running. Thread-safe.
class RunningOperations {
 public:
  /// One operation. It is running until finish() or until this object is destroyed.
  class Running {
   public:
    explicit Running(RunningOperations& all) : all_(&all), number_(all.add()) {}
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { finish(); }

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    void finish() noexcept {
      if (all_ != nullptr) std::exchange(all_, nullptr)->remove(number_);
    }

   private:
    RunningOperations* all_;
    std::uint64_t number_;
  };

  RunningOperations() = default;
  RunningOperations(const RunningOperations&) = delete;
  RunningOperations& operator=(const RunningOperations&) = delete;

  /// The number of the next operation.
  [[nodiscard]] std::uint64_t next() const {
    const std::lock_guard lock(mutex_);
    return next_;
  }

  /// Whether an operation that began before this one is running.
  [[nodiscard]] bool is_any_before(std::uint64_t number) const noexcept {
    const std::lock_guard lock(mutex_);
    return !running_.empty() && running_.front() < number;
  }

  /// Passes `end` to over() once no operation of its range is running. If none is now, does so at once, in this thread.
  void wait_for(std::unique_ptr<OperationsEnd> end) noexcept {
    OperationsEnds ends;
    {
      const std::lock_guard lock(mutex_);
      const bool waits = is_running(end->range);
      (waits ? ends_ : ends).add(std::move(end));
      if (waits) return;
    }
    over(std::move(ends));
  }

 protected:
  ~RunningOperations() = default;

  /// An operation has ended on our side. `ends` are those whose last operation it was; there may be none. Called
  /// without a lock.
  virtual void over(OperationsEnds ends) noexcept { ends.note(); }

 private:
  std::uint64_t add() {
    const std::lock_guard lock(mutex_);
    running_.push_back(next_);
    return next_++;
  }

  void remove(std::uint64_t number) noexcept {
    OperationsEnds ends;
    {
      const std::lock_guard lock(mutex_);
      const auto at = std::lower_bound(running_.begin(), running_.end(), number);
      if (at != running_.end() && *at == number) running_.erase(at);
      ends = ends_.take_over([this](const OperationRange& range) { return is_running(range); });
    }
    over(std::move(ends));
  }

  [[nodiscard]] bool is_running(const OperationRange& range) const noexcept {
    const auto first = std::lower_bound(running_.begin(), running_.end(), range.first);
    return first != running_.end() && range.contains(*first);
  }

  mutable std::mutex mutex_;
  std::uint64_t next_ = 1;
  std::vector<std::uint64_t> running_;  // ascending
  OperationsEnds ends_;
};

}  // namespace remsh
