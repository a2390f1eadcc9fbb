// InUse: counts users, so that a thread can wait until there are none.
#pragma once

#include <condition_variable>
#include <mutex>

namespace remsh {

/// Counts as one user for as long as it lives. Notifies `changed` with the mutex held.
class InUse {
 public:
  InUse(std::mutex& mutex, std::condition_variable& changed, unsigned& count)
      : mutex_(mutex), changed_(changed), count_(count) {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  ~InUse() {
    const std::lock_guard lock(mutex_);
    --count_;
    changed_.notify_all();
  }

 private:
  std::mutex& mutex_;
  std::condition_variable& changed_;
  unsigned& count_;
};

}  // namespace remsh
