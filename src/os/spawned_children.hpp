// SpawnedChildren: the children that spawn() started.
#pragma once

#include "os/process_table.hpp"

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <set>

namespace remsh {

/// The unreaped children that spawn() has started. There is one such set per process. Thread-safe.
class SpawnedChildren {
 public:
  static SpawnedChildren& instance() {
    static auto& children =
        *new SpawnedChildren;  // for ever: a static listener ends its slaves while the program exits
    return children;
  }

  /// A spawn() in progress.
  class Birth {
   public:
    explicit Birth(SpawnedChildren& children) : children_(children) {
      const std::lock_guard lock(children_.mutex_);
      at_ = children_.births_.insert(ticks_now());
      is_allowed_ = !children_.births_have_ended_;
    }
    Birth(const Birth&) = delete;
    Birth& operator=(const Birth&) = delete;
    ~Birth() {
      const std::lock_guard lock(children_.mutex_);
      children_.births_.erase(at_);
    }
    /// False: no child may be started any more.
    [[nodiscard]] bool is_allowed() const noexcept { return is_allowed_; }

    void known_as(pid_t pid) {
      const std::lock_guard lock(children_.mutex_);
      children_.pids_.insert(pid);
    }

   private:
    SpawnedChildren& children_;
    std::multiset<std::uint64_t>::iterator at_;
    bool is_allowed_ = true;
  };

  /// From now on spawn() starts nothing: this process is about to end, and kills its children.
  void end_births() noexcept {
    const std::lock_guard lock(mutex_);
    births_have_ended_ = true;
  }

  void remove(pid_t pid) noexcept {
    const std::lock_guard lock(mutex_);
    pids_.erase(pid);
  }

  bool may_contain(pid_t pid, std::uint64_t started) noexcept {
    const std::lock_guard lock(mutex_);
    return pids_.contains(pid) || (!births_.empty() && *births_.begin() <= started + 1);
  }

 private:
  std::mutex mutex_;
  std::set<pid_t> pids_;
  std::multiset<std::uint64_t> births_;  // in ticks
  bool births_have_ended_ = false;
};

}  // namespace remsh
