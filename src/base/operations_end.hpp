// OperationsEnd: a notice that certain operations of one worker are over.
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

/// Noted once: when no operation of its range runs at the worker any more, or the worker is gone. Dropped without a
/// note if nobody is left who could give it. Made beforehand, so that asking for the notice cannot fail.
class OperationsEnd {
 public:
  OperationsEnd() = default;
  OperationsEnd(const OperationsEnd&) = delete;
  OperationsEnd& operator=(const OperationsEnd&) = delete;
  virtual ~OperationsEnd() = default;

  /// Called from any thread, with no lock of the worker held. Must not block, nor run user code, destructors included.
  virtual void note() noexcept = 0;

  OperationRange range;

 private:
  friend class OperationsEnds;
  std::unique_ptr<OperationsEnd> next_;
};

/// Those that wait for their note. A pointer, as a master has many workers. One thread at a time.
class OperationsEnds {
 public:
  OperationsEnds() = default;
  OperationsEnds(OperationsEnds&&) noexcept = default;
  OperationsEnds& operator=(OperationsEnds&&) noexcept = default;
  ~OperationsEnds() {
    while (first_) first_ = std::move(first_->next_);  // one after the other, as there may be many
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

  /// Takes out those of whose range nothing runs any more.
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

  /// Notes all of them, and is empty then.
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
