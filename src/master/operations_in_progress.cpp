#include "master/operations_in_progress.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace remsh {

void OperationsInProgress::add(OperationEntry& entry) noexcept {
  const std::lock_guard lock(mutex_);
  entries_.push_front(entry);
}

void OperationsInProgress::remove(OperationEntry& entry) noexcept {
  if (!entry.is_linked()) return;
  const std::lock_guard lock(mutex_);
  entries_.erase(entry);
}

void OperationsInProgress::replace(OperationEntry& other, OperationEntry& entry) noexcept {
  const std::lock_guard lock(mutex_);
  entries_.erase(other);
  entries_.push_front(entry);
}

std::vector<OperationInProgress> OperationsInProgress::list() const {
  std::vector<OperationInProgress> all;
  {
    const std::lock_guard lock(mutex_);
    entries_.for_each([&all](const OperationEntry& entry) {
      if (auto known = entry.look()) all.push_back(std::move(*known));
    });
  }
  std::sort(all.begin(), all.end(),
            [](const OperationInProgress& a, const OperationInProgress& b) { return a.id < b.id; });
  return all;
}

}  // namespace remsh
