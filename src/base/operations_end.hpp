// OperationsEnd: a notification that certain operations of one worker are over.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace remsh {

/// Some of the operations of one worker, which are numbered in the order in which they begin.
struct OperationRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;  // one past the last

  [[nodiscard]] bool contains(std::uint64_t number) const noexcept { return number >= first && number < end; }
};

/// note() is called once: when no operation of the range runs any more, or the worker is gone. If the worker's object
/// is destroyed before that, it is not called. Allocated in advance, so that adding it cannot fail.
class OperationsEnd {
 public:
  OperationsEnd() = default;
  OperationsEnd(const OperationsEnd&) = delete;
  OperationsEnd& operator=(const OperationsEnd&) = delete;
  virtual ~OperationsEnd() = default;

  /// Called from any thread, without a lock of the worker. It must not block or run user code, including destructors.
  virtual void note() noexcept = 0;

  OperationRange range;

 private:
  friend class OperationsEnds;
  std::unique_ptr<OperationsEnd> next_;
};

/// The pending OperationsEnd objects of a worker. One pointer, because a master has many workers. One thread at a time.
class OperationsEnds {
 public:
  OperationsEnds() = default;
  OperationsEnds(OperationsEnds&&) noexcept = default;
  OperationsEnds& operator=(OperationsEnds&&) noexcept = default;
  ~OperationsEnds() {
    while (first_) first_ = std::move(first_->next_);  // in a loop, because recursion could be deep
  }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  void add(std::unique_ptr<OperationsEnd> end) noexcept {
    end->next_ = std::move(first_);
    first_ = std::move(end);
  }

  void add(OperationsEnds others) noexcept {
    while (others.first_) {
      auto end = std::move(others.first_);
      others.first_ = std::move(end->next_);
      add(std::move(end));
    }
  }

  /// Removes and returns those whose range has no running operation.
  template <class IsRunning>
  [[nodiscard]] OperationsEnds take_over(const IsRunning& is_running) noexcept {
    OperationsEnds over;
    for (std::unique_ptr<OperationsEnd>* place = &first_; *place;) {
      if (is_running((*place)->range)) {
        place = &(*place)->next_;
        continue;
      }
      auto end = std::move(*place);
      *place = std::move(end->next_);
      over.add(std::move(end));
    }
    return over;
  }

  /// Calls note() of each, and empties the list.
  void note() noexcept {
    while (first_) {
      const auto end = std::move(first_);
      first_ = std::move(end->next_);
      end->note();
    }
  }

 private:
  std::unique_ptr<OperationsEnd> first_;
};

}  // namespace remsh
