// OperationsInProgress: the operations of one worker that are not over.
#pragma once

#include "base/intrusive_list.hpp"
#include "base/small_mutex.hpp"

#include <remsh/master/operation_in_progress.hpp>

#include <optional>
#include <vector>

namespace remsh {

/// One operation as the list of its worker knows it. Its owner puts it in and takes it out before it goes.
class OperationEntry : public ListLink<OperationEntry> {
 public:
  /// What is known of it now; nullopt: it has not begun, or could not begin. Called by any thread, under the lock of
  /// the list.
  [[nodiscard]] virtual std::optional<OperationInProgress> look() const = 0;

 protected:
  ~OperationEntry() = default;
};

/// The operations of one worker that are not over: those with a caller, and those whose caller has left. Small, as a
/// master has many workers: an operation brings its own entry. Thread-safe.
class OperationsInProgress {
 public:
  OperationsInProgress() = default;
  OperationsInProgress(const OperationsInProgress&) = delete;
  OperationsInProgress& operator=(const OperationsInProgress&) = delete;

  void add(OperationEntry& entry) noexcept;

  /// By the owner of the entry. Does nothing if it is not in.
  void remove(OperationEntry& entry) noexcept;

  /// `entry` takes the place of another one, so that no look misses both.
  void replace(OperationEntry& other, OperationEntry& entry) noexcept;

  /// All of them, in the order in which they began.
  [[nodiscard]] std::vector<OperationInProgress> list() const;

 private:
  IntrusiveList<OperationEntry> entries_;
  mutable SmallMutex mutex_;
};

}  // namespace remsh
