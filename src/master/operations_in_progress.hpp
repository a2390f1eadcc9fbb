// OperationsInProgress: the unfinished operations of one worker.
#pragma once

#include "base/intrusive_list.hpp"
#include "base/small_mutex.hpp"

#include <remsh/master/operation_in_progress.hpp>

#include <optional>
#include <vector>

namespace remsh {

/// One operation in the list of its worker. Its owner adds it, and removes it before destroying it.
class OperationEntry : public ListLink<OperationEntry> {
 public:
  /// Describes the operation as it is now; nullopt if it has not begun, or could not begin. Called by any thread, under
  /// the lock of the list.
  [[nodiscard]] virtual std::optional<OperationInProgress> look() const = 0;

 protected:
  ~OperationEntry() = default;
};

/// The unfinished operations of one worker, including those whose caller has left. Small, as a master has many workers:
/// an operation brings its own entry. Thread-safe.
class OperationsInProgress {
 public:
  OperationsInProgress() = default;
  OperationsInProgress(const OperationsInProgress&) = delete;
  OperationsInProgress& operator=(const OperationsInProgress&) = delete;

  void add(OperationEntry& entry) noexcept;

  /// Called by the owner of the entry. Does nothing if the entry is not in the list.
  void remove(OperationEntry& entry) noexcept;

  /// Puts `entry` in the place of another one, so that list() never misses both.
  void replace(OperationEntry& other, OperationEntry& entry) noexcept;

  /// All operations, in the order in which they began.
  [[nodiscard]] std::vector<OperationInProgress> list() const;

 private:
  IntrusiveList<OperationEntry> entries_;
  mutable SmallMutex mutex_;
};

}  // namespace remsh
