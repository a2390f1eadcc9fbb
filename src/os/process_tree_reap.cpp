// TreeKiller: the reaping of orphans. Only on the looking thread.
#include "os/orphans.hpp"
#include "os/process_tree.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace remsh {

namespace {

using namespace std::chrono_literals;

constexpr Duration first_reap_pause = 10ms;
constexpr Duration longest_reap_pause = 1s;
constexpr Duration stranger_reap_pause = 10s;

bool reap(const ProcessEntry& entry) { return ::waitpid(entry.id.pid, nullptr, WNOHANG) == entry.id.pid; }

}  // namespace

/// Reaps the dead orphans that this look found.
void TreeKiller::reap_members(const ProcessTable& table) {
  for (const Job& job : jobs_) {
    for (const pid_t pid : job.dead) reap(*table.find(pid));
  }
  if (!reaps_ || !has_claimed_orphans()) return;
  for (const auto& [pid, entry] : table.entries()) {
    if (!entry.lives && is_orphan(entry)) reap(entry);
  }
}

/// Reaps orphans that ended by themselves. If this process has claimed its orphans, a signal reports the end of each
/// child. Otherwise this checks regularly, and only if orphans become our children at all.
void TreeKiller::reap_orphans() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (child_signals_ < 0 && !std::exchange(reap_is_due_, is_subreaper())) return;
  if (!reap_is_due_ || now < reap_at_) return;
  bool reaped = false;
  bool is_blocked = false;  // by a dead child that is not ours to reap
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    const auto entry = reader_->find(info.si_pid);
    is_blocked = !has_claimed_orphans() || !entry || !*entry || !is_orphan(**entry) || !reap(**entry);
    reaped = reaped || !is_blocked;
    info = {};
    if (is_blocked) break;
    for (Job& job : jobs_) {
      if (job.tree.began <= (*entry)->id.started) ++job.died;
    }
  }
  // Usually that is a command that will be reaped in a moment. If it stays, the children after it are checked, too.
  if (is_blocked && !std::exchange(was_blocked_, true)) {
    reap_at_ = now + first_reap_pause;
    return;
  }
  was_blocked_ = is_blocked;
  if (is_blocked) {
    const ProcessTable table = ProcessTable::read(*reader_);
    if (!has_claimed_orphans()) {
      reap_strangers(table, now);
    } else {
      for (const auto& [pid, entry] : table.entries())
        reaped = (!entry.lives && is_orphan(entry) && reap(entry)) || reaped;
    }
  }
  reap_pause_ = is_blocked && !reaped ? std::min(reap_pause_ * 2, longest_reap_pause) : first_reap_pause;
  if (child_signals_ < 0) reap_pause_ = longest_reap_pause;
  reap_at_ = now + reap_pause_;
  if (child_signals_ >= 0) reap_is_due_ = false;
}

/// In a host that has other children: reaps the orphans in the group or session of a command, and those in a foreign
/// group that have been dead for a long time without being reaped.
void TreeKiller::reap_strangers(const ProcessTable& table, TimePoint now) {
  take_others();
  const auto is_of_command = [this](const ProcessEntry& entry) {
    return std::any_of(others_.begin(), others_.end(), [&entry](const auto& other) {
      const pid_t leader = other.second.leader;
      return (leader > 0 && (entry.group == leader || entry.session == leader)) || other.second.seen.contains(entry.id);
    });
  };
  const bool is_time = now >= strangers_at_;
  std::vector<ProcessId> suspects;
  for (const auto& [pid, entry] : table.entries()) {
    if (entry.lives || !is_orphan(entry) || entry.group == ::getpgrp()) continue;
    const bool was_there = std::find(suspects_.begin(), suspects_.end(), entry.id) != suspects_.end();
    if (is_of_command(entry) || (is_time && was_there)) {
      reap(entry);
    } else {
      suspects.push_back(entry.id);
    }
  }
  if (!is_time) return;
  strangers_at_ = now + stranger_reap_pause;
  suspects_ = std::move(suspects);
}

}  // namespace remsh
