// TreeKiller: one look at all processes: which of them are in a tree, and which signals they get. Only on the looking
// thread.
#include "os/orphans.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace remsh {

namespace {

using namespace std::chrono_literals;

/// Between looks at a tree that does not change. The end of a process that is known to be alive is noticed at once
/// anyway.
constexpr Duration longest_pause = 1s;

/// After this many looks in a row that found nothing alive but newly dead processes, the dead count as those of other
/// trees.
constexpr unsigned most_undecided = 200;

/// How many looks in a row may follow each other without a pause because a process died, before SIGKILL.
constexpr unsigned most_restless = 20;

/// If there are more trees, those that have ended are removed.
constexpr std::size_t many_trees = 32;

/// How many looks in a row stop new processes before the whole tree is killed.
constexpr unsigned most_stops = 50;

/// How many of the newest processes a chase looks at, and how often.
constexpr pid_t chase_depth = 16;
constexpr unsigned chase_rounds = 64;
constexpr unsigned chase_misses = 3;

}  // namespace

void TreeKiller::take_others() {
  const std::lock_guard lock(mutex_);
  others_.clear();
  for (const auto& [name, tree] : trees_) {
    if (!tree.ends) others_.emplace(name, tree.known);
  }
}

/// Looks at all processes once. Returns when the next look is due.
TimePoint TreeKiller::round(TimePoint now) {
  const ProcessTable table = ProcessTable::read(*reader_);
  take_others();  // after the table: each process in it was started by a command that is known by now
  ++looks_;
  const std::size_t jobs_before = jobs_.size();
  for (Job& job : jobs_) find_members(job, table);
  if (reaps_ && has_claimed_orphans()) forget_empty(table, share_orphans(table));
  environments_ = names_.reads();

  living_.clear();
  bool at_once = false;
  TimePoint next = TimePoint::max();
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    const std::optional<bool> result = job->found ? look_for_left(*job, table, now) : look(*job, table, now);
    if (result) {
      finish(*job, *result);
      job = jobs_.erase(job);
      continue;
    }
    if (job->kill_at > now) next = std::min(next, job->kill_at);
    next = std::min(next, std::max(job->give_up_at, now + first_pause));
    const bool is_restless = job->died > 0 && (now >= job->kill_at || job->undecided < most_restless);
    at_once = at_once || is_restless || job->stops > 0;
    job->died = 0;
    ++job;
  }
  reap_members(table);
  names_.keep_only(table.entries());
  if (jobs_.empty()) living_.clear();
  if (jobs_.size() < jobs_before || at_once) pause_ = first_pause;
  if (living_.size() > most_watched) pause_ = std::min(pause_, unwatched_pause);
  next = std::min(next, at_once ? now : now + pause_);
  pause_ = std::min(pause_ * 2, longest_pause);
  return jobs_.empty() ? TimePoint::max() : next;
}

void TreeKiller::find_members(Job& job, const ProcessTable& table) {
  const ProcessEntry* leader = table.find(job.tree.leader);
  if (job.tree.began == 0 && leader != nullptr) job.tree.began = leader->id.started;
  job.members = table.members(job.tree, *reader_, names_);
  job.may_have_more = false;
  job.dead.clear();
  for (const pid_t pid : job.members) {
    const ProcessEntry* entry = table.find(pid);
    if (!entry->lives && is_orphan(*entry)) job.dead.push_back(pid);
  }
  job.died += job.dead.size();
}

/// Adds each orphan that is not a member of a tree to the only tree that can have started it. True if there were such
/// orphans.
bool TreeKiller::share_orphans(const ProcessTable& table) {
  std::vector<const ProcessEntry*> orphans;
  for (const auto& [pid, entry] : table.entries()) {
    if (!is_orphan(entry)) continue;
    const auto has = [pid = pid](const Job& job) { return job.members.contains(pid); };
    if (std::none_of(jobs_.begin(), jobs_.end(), has)) orphans.push_back(&entry);
  }
  if (orphans.empty()) return false;
  for (const auto& [name, tree] : others_) {
    const auto is_looked_for = [&name = name](const Job& job) { return job.tree.name == name; };
    if (std::any_of(jobs_.begin(), jobs_.end(), is_looked_for)) continue;
    const std::set<pid_t> members = table.members(tree, *reader_, names_);
    std::erase_if(orphans, [&members](const ProcessEntry* orphan) { return members.contains(orphan->id.pid); });
  }
  for (const ProcessEntry* orphan : orphans) attribute(table, *orphan);
  return !orphans.empty();
}

/// If there are many trees, forgets those that commands left behind and that have ended since.
void TreeKiller::forget_empty(const ProcessTable& table, bool has_unknown) {
  if (has_unknown || others_.size() < many_trees) return;
  const auto lives = [&table](pid_t pid) { return table.find(pid)->lives; };
  for (const auto& [name, known] : others_) {
    const std::set<pid_t> members = table.members(known, *reader_, names_);
    const std::lock_guard lock(mutex_);
    const auto tree = trees_.find(name);
    if (tree == trees_.end() || tree->second.known.leader > 0 || tree->second.known.seen.empty()) continue;
    tree->second.empty_looks = std::any_of(members.begin(), members.end(), lives) ? 0 : tree->second.empty_looks + 1;
    if (tree->second.empty_looks >= 2) trees_.erase(tree);
  }
}

/// Adds an orphan and its descendants to the only tree that can have started it, or to one of several if all of these
/// are being ended.
void TreeKiller::attribute(const ProcessTable& table, const ProcessEntry& orphan) {
  bool is_first = true;
  for (Job& job : jobs_) {
    if (job.tree.began > orphan.id.started) continue;
    if (!orphan.lives) {
      ++job.died;
    } else if (!is_only_of(job, orphan)) {
      job.may_have_more = true;
    } else if (std::exchange(is_first, false)) {
      KnownTree beneath{.leader = -1, .name = job.tree.name, .began = orphan.id.started, .seen = {orphan.id}};
      job.members.merge(table.members(beneath, *reader_, names_));
    }
  }
}

/// Whether only trees that are being ended, this job's among them, can have started an orphan: they ran when it began.
bool TreeKiller::is_only_of(const Job& job, const ProcessEntry& orphan) const {
  if (job.tree.began > orphan.id.started) return false;
  const bool others = std::any_of(others_.begin(), others_.end(), [&](const auto& other) {
    return other.first != job.tree.name && other.second.began <= orphan.id.started;
  });
  const bool looks = job.found && std::any_of(jobs_.begin(), jobs_.end(), [&](const Job& other) {
                       return other.tree.name != job.tree.name && other.tree.began <= orphan.id.started;
                     });
  return !others && !looks;
}

/// nullopt: look again; otherwise whether the tree is gone.
std::optional<bool> TreeKiller::look(Job& job, const ProcessTable& table, TimePoint now) {
  const pid_t leader = job.tree.leader;
  const bool kill = now >= job.kill_at;
  const bool first = !std::exchange(job.begun, true);
  if (leader > 0 && first) {
    signal_group_of(leader, job.stop_signal);
    signal_group_of(leader, SIGCONT);  // a stopped process does not handle the signal
  }
  if (leader > 0 && kill) signal_group_of(leader, SIGKILL);
  if (!reader_->is_supported()) return without_table(job, now);

  std::erase_if(job.members, [&table](pid_t pid) { return !table.find(pid)->lives; });
  job.grew = false;
  for (const pid_t pid : job.members) job.grew = job.tree.seen.insert(table.find(pid)->id).second || job.grew;
  signal_members(job, table, first, kill);
  if (job.died > 0 && job.members.empty()) chase(job, kill ? SIGKILL : job.stop_signal);
  if (is_clean(job, job.members.empty() && table.is_complete())) return true;
  return now >= job.give_up_at ? std::optional(false) : std::nullopt;
}

std::optional<bool> TreeKiller::without_table(Job& job, TimePoint now) const {
  if (!has_ended(job.tree.leader)) return now >= job.give_up_at ? std::optional(false) : std::nullopt;
  signal_group_of(job.tree.leader, SIGKILL);
  return true;
}

void TreeKiller::signal_members(Job& job, const ProcessTable& table, bool first, bool kill) {
  if (kill) {
    kill_members(job, table);
  } else {
    for (const pid_t pid : job.members) {
      const ProcessEntry& entry = *table.find(pid);
      const bool is_new = job.told.insert(entry.id).second;
      const bool was_told = first && job.tree.leader > 0 && entry.group == job.tree.leader;
      if (is_new ? was_told : !reader_->would_die_of(pid, job.stop_signal)) continue;
      signal_process(*reader_, entry.id, job.stop_signal);
      signal_process(*reader_, entry.id, SIGCONT);
    }
  }
  for (const pid_t pid : job.members) living_.push_back(table.find(pid)->id);
}

/// Sends SIGKILL to all members. If the tree goes on growing, stops them first: under a limit on processes, a killed
/// process makes room for another one, a stopped process does not.
void TreeKiller::kill_members(Job& job, const ProcessTable& table) {
  const bool stop = std::exchange(job.killed, true) && job.grew && job.stops < most_stops;
  job.stops = stop ? job.stops + 1 : 0;
  for (const pid_t pid : job.members) signal_process(*reader_, table.find(pid)->id, stop ? SIGSTOP : SIGKILL);
}

/// Signals a chain of processes that live too shortly for a look at all processes, by looking at the newest ones only.
void TreeKiller::chase(Job& job, int signal) {
  unsigned misses = 0;
  for (unsigned round = 0; round < chase_rounds && misses < chase_misses; ++round) {
    const std::optional<pid_t> last = reader_->last_pid();
    if (!last) return;
    ++misses;
    for (pid_t pid = *last; pid > std::max(*last - chase_depth, 1); --pid) {
      const auto entry = reader_->find(pid);
      if (!entry || !*entry || !(*entry)->lives || pid == ::getpid()) continue;
      const ProcessEntry& found = **entry;
      const bool is_near = job.tree.leader > 0 && (found.session == job.tree.leader || found.group == job.tree.leader);
      const bool may_be_claimed = has_claimed_orphans() && reaps_ && is_orphan(found);
      if (may_be_claimed) take_others();  // a command that began after the last look may have started it
      const bool is_claimed = may_be_claimed && is_only_of(job, found);
      if (!is_near && !is_claimed) continue;
      signal_process(*reader_, found.id, signal);
      misses = 0;
    }
  }
}

/// Whether nothing was alive at two looks in a row, and nothing died between them.
bool TreeKiller::is_clean(Job& job, bool empty) {
  const bool was_empty = std::exchange(job.was_empty, empty);
  if (!empty || !was_empty) return false;
  if (job.died == 0) return true;
  const bool are_of_others = ++job.undecided >= most_undecided && !others_.empty();
  return are_of_others;
}

/// nullopt: look again; otherwise whether something is left.
std::optional<bool> TreeKiller::look_for_left(Job& job, const ProcessTable& table, TimePoint now) {
  if (!reader_->is_supported()) return false;
  std::erase_if(job.members, [&](pid_t pid) { return !table.find(pid)->lives; });
  for (const pid_t pid : job.members) job.tree.seen.insert(table.find(pid)->id);
  if (!job.members.empty() && now >= job.kill_at) return true;
  for (const pid_t pid : job.members) living_.push_back(table.find(pid)->id);
  if (is_clean(job, job.members.empty() && table.is_complete())) return false;
  return now >= job.give_up_at ? std::optional(true) : std::nullopt;
}

}  // namespace remsh
