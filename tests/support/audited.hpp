// Audited: the records that an audit hook was given.
#pragma once

#include <remsh/master/audit.hpp>

#include <mutex>
#include <utility>
#include <vector>

namespace remsh::test {

/// The records that its hook was given. Thread-safe; it must outlive the listener that has the hook.
class Audited {
 public:
  [[nodiscard]] AuditHook hook() {
    return [this](const AuditRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
  }

  /// The records since the last call of this.
  [[nodiscard]] std::vector<AuditRecord> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(records_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<AuditRecord> records_;
};

}  // namespace remsh::test
