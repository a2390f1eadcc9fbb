// TreeKiller: the thread that ends trees of processes, what it decides at each look, and the reaping of orphans.
#include "os/process_tree.hpp"

#include "os/process.hpp"
#include "os/threads.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iterator>
#include <system_error>

namespace remsh {

namespace {

using namespace std::chrono_literals;

constexpr Duration first_pause = 1ms;

/// Between looks at a tree that does not change; the end of what is known to live is noticed at once anyway.
constexpr Duration longest_pause = 1s;

/// The processes whose end is waited for at one time; with more of them a look comes at least this often.
constexpr std::size_t most_watched = 64;
constexpr Duration unwatched_pause = 50ms;

/// Looks in a row that found nothing alive but new dead, before these count as those of others.
constexpr unsigned most_undecided = 200;

/// Looks in a row that follow each other without a pause because something died, before SIGKILL.
constexpr unsigned most_restless = 20;

/// More trees than that are looked through for those that have ended.
constexpr std::size_t many_trees = 32;

/// Looks in a row that stop what is new before all of it is killed.
constexpr unsigned most_stops = 50;

/// How many of the newest processes a chase looks at, and how often.
constexpr pid_t chase_depth = 16;
constexpr unsigned chase_rounds = 64;
constexpr unsigned chase_misses = 3;

/// What a quick command can have left behind is among the processes that were made since.
constexpr Duration quick = 200ms;
constexpr pid_t most_since_quick = 256;

constexpr Duration find_left_patience = 2s;

constexpr Duration first_reap_pause = 10ms;
constexpr Duration longest_reap_pause = 1s;
constexpr Duration stranger_reap_pause = 10s;

std::atomic<bool> orphans_are_claimed{false};

bool is_subreaper() noexcept {
  if (::getpid() == 1) return true;
#if defined(__linux__)
  int subreaper = 0;
  if (::prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0) return subreaper != 0;
#endif
  return false;
}

}  // namespace

void claim_orphans() noexcept {
#if defined(__linux__)
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return;
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &child, nullptr);
  orphans_are_claimed = true;
#endif
}

std::shared_ptr<TreeKiller> TreeKiller::of_this_process() {
  static std::mutex mutex;
  static std::weak_ptr<TreeKiller> current;
  const std::lock_guard lock(mutex);
  std::shared_ptr<TreeKiller> killer = current.lock();
  if (!killer) {
    killer = std::make_shared<TreeKiller>(Orphans::reaped);
    current = killer;
  }
  return killer;
}

TreeKiller::~TreeKiller() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  if (looker_.joinable()) looker_.join();
  {
    const std::lock_guard lock(mutex_);
    has_stopped_ = true;
  }
  called_.notify_all();
  if (caller_.joinable()) caller_.join();
}

void TreeKiller::prepare() {
  const std::lock_guard lock(mutex_);
  start();
}

void TreeKiller::start() {
  if (looker_.joinable()) return;
  if (!reader_) reader_.emplace();
  if (!wake_) wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) throw std::system_error(errno, std::generic_category(), "a descriptor to end commands with");
  if (!caller_.joinable()) caller_ = start_thread("remsh-killed", [this] { call_back(); });
  looker_ = start_thread("remsh-kill", [this] { run(); });
}

void TreeKiller::call_back() {
  std::unique_lock lock(mutex_);
  for (;;) {
    called_.wait(lock, [this] { return has_stopped_ || !callbacks_.empty(); });
    std::vector<std::function<void()>> callbacks = std::exchange(callbacks_, {});
    if (callbacks.empty()) return;
    lock.unlock();
    for (const auto& callback : callbacks) callback();
    callbacks.clear();
    lock.lock();
  }
}

void TreeKiller::wake() noexcept {
  const std::uint64_t one = 1;
  if (wake_) static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

void TreeKiller::add(Job job, std::unique_lock<std::mutex>& lock) {
  try {
    start();
  } catch (const std::system_error&) {
    // Without a thread the group is all that can be reached.
    const pid_t leader = job.tree.leader;
    trees_.erase(job.tree.name);
    lock.unlock();
    if (job.done && leader > 0) signal_group_of(leader, SIGKILL);
    if (job.done) job.done(false);
    if (job.found) job.found(true);
    return;
  }
  incoming_.push_back(std::move(job));
  lock.unlock();
  wake();
}

void TreeKiller::end(ProcessTree tree, TimePoint kill_at, TimePoint give_up_at, Done done) {
  std::unique_lock lock(mutex_);
  Job job{.tree = {.leader = tree.leader, .name = std::move(tree.name)},
          .kill_at = kill_at,
          .give_up_at = give_up_at,
          .done = std::move(done),
          .found = {}};
  if (const auto known = trees_.find(job.tree.name); known != trees_.end()) {
    known->second.ends = true;
    job.tree = known->second.known;
  }
  add(std::move(job), lock);
}

void TreeKiller::hurry(const Bytes& name, TimePoint kill_at, TimePoint give_up_at) {
  {
    const std::lock_guard lock(mutex_);
    hurries_.push_back({name, kill_at, give_up_at});
  }
  wake();
}

void TreeKiller::watch(const Bytes& name) {
  const std::lock_guard lock(mutex_);
  Tree& tree = trees_[name];
  tree.known.name = name;
  tree.known.began = ticks_now();
  tree.began_at = std::chrono::steady_clock::now();
}

void TreeKiller::set_leader(const Bytes& name, pid_t leader) {
  const std::lock_guard lock(mutex_);
  trees_[name].known.leader = leader;
}

std::optional<bool> TreeKiller::has_left(const Bytes& name) {
  const std::lock_guard lock(mutex_);
  const auto tree = trees_.find(name);
  if (tree == trees_.end() || !reader_ || !reader_->is_supported()) return false;
  const KnownTree& known = tree->second.known;
  const std::optional<pid_t> last = reader_->last_pid();
  if (!last || *last < known.leader || *last - known.leader > most_since_quick ||
      std::chrono::steady_clock::now() - tree->second.began_at > quick) {
    return std::nullopt;
  }
  const bool has_orphans = is_subreaper();
  for (pid_t pid = known.leader + 1; pid <= *last; ++pid) {
    const auto found = reader_->find(pid);
    if (!found) return std::nullopt;
    if (!*found) continue;
    const ProcessEntry& entry = **found;
    const bool is_near = entry.session == known.leader || entry.group == known.leader;
    if (is_near || (has_orphans && is_orphan(entry))) return std::nullopt;
    // Elsewhere orphans go to init, and only their environment tells of them.
    if (has_orphans || !entry.lives || entry.parent == ::getpid()) continue;
    CommandNames names;
    if (names.has(*reader_, entry.id, name)) return std::nullopt;
  }
  trees_.erase(tree);
  return false;
}

void TreeKiller::find_left(const Bytes& name, TimePoint settled, Found found) {
  std::unique_lock lock(mutex_);
  Job job{.tree = {.name = name},
          .kill_at = settled,
          .give_up_at = settled + find_left_patience,
          .done = {},
          .found = std::move(found)};
  const auto tree = trees_.find(name);
  if (tree != trees_.end()) job.tree = tree->second.known;
  add(std::move(job), lock);
}

bool TreeKiller::knows(const Bytes& name) const {
  const std::lock_guard lock(mutex_);
  return trees_.contains(name);
}

void TreeKiller::forget(const Bytes& name) {
  const std::lock_guard lock(mutex_);
  trees_.erase(name);
}

TreeKiller::Effort TreeKiller::effort() const { return {looks_.load(), environments_.load()}; }

// From here on: the looking thread.

/// Leaves the table of descriptors that the process shares for a copy that has only what this thread needs.
void TreeKiller::keep_own_descriptors() noexcept {
#if defined(__linux__) && defined(SYS_close_range)
  if (::syscall(SYS_close_range, ~0U, ~0U, 0) != 0) return;  // the system is too old for it
  if (::unshare(CLONE_FILES) != 0) return;
  std::vector<int> kept = reader_->descriptors();
  kept.push_back(wake_.get());
  kept.push_back(STDERR_FILENO);  // for what the C library says of a bug
  std::sort(kept.begin(), kept.end());
  unsigned from = 0;
  for (const int descriptor : kept) {
    const auto number = static_cast<unsigned>(descriptor);
    if (number > from) ::syscall(SYS_close_range, from, number - 1, 0);
    from = number + 1;
  }
  ::syscall(SYS_close_range, from, ~0U, 0);
#endif
}

void TreeKiller::run() {
  keep_own_descriptors();
#if defined(__linux__)
  if (reaps_ && orphans_are_claimed) {
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    child_signals_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  }
#endif
  while (take_incoming()) {
    TimePoint next = TimePoint::max();
    if (!jobs_.empty()) next = round(std::chrono::steady_clock::now());
    if (reaps_) reap_orphans();
    wait(next);
  }
  // Each gets its last look, for what is over by now.
  if (!jobs_.empty()) round(std::chrono::steady_clock::now());
  for (Job& job : jobs_) finish(job, static_cast<bool>(job.found));
  jobs_.clear();
#if defined(__linux__)
  if (child_signals_ >= 0) ::syscall(SYS_close, child_signals_);
#endif
}

/// False: it is to stop.
bool TreeKiller::take_incoming() {
  const std::lock_guard lock(mutex_);
  if (!incoming_.empty()) pause_ = first_pause;
  std::move(incoming_.begin(), incoming_.end(), std::back_inserter(jobs_));
  incoming_.clear();
  for (const Hurry& hurry : hurries_) {
    for (Job& job : jobs_) {
      if (job.tree.name != hurry.name || !job.done) continue;
      job.kill_at = std::min(job.kill_at, hurry.kill_at);
      job.give_up_at = std::min(job.give_up_at, hurry.give_up_at);
    }
  }
  hurries_.clear();
  return !stopping_;
}

void TreeKiller::take_others() {
  const std::lock_guard lock(mutex_);
  others_.clear();
  for (const auto& [name, tree] : trees_) {
    if (!tree.ends) others_.emplace(name, tree.known);
  }
}

/// One look at everything; gives when the next one is due.
TimePoint TreeKiller::round(TimePoint now) {
  const ProcessTable table = ProcessTable::read(*reader_);
  take_others();  // after the table: each process in it was started by a command that is known by now
  ++looks_;
  const std::size_t jobs_before = jobs_.size();
  for (Job& job : jobs_) find_members(job, table);
  if (reaps_ && orphans_are_claimed) forget_empty(table, share_orphans(table));
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

/// Whether this is a process that came to us when its parent ended: of a command, and nobody else waits for it.
bool TreeKiller::is_orphan(const ProcessEntry& entry) const {
  return entry.parent == ::getpid() && !is_spawned_child(entry.id.pid, entry.id.started) &&
         (entry.session != ::getsid(0) || !orphans_are_claimed);
}

/// Adds the orphans that are not members of any tree to the one that they can only be of. True: some are left over.
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

/// Forgets trees that a command left behind and that have ended since, when there are many.
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

/// Gives an orphan, with what descends from it, to the only tree that it can be of, or to one of those that all end.
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

/// Whether no other tree that is to live on can have started an orphan: it ran when the orphan began.
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

/// Nothing: go on; else whether the tree is gone.
std::optional<bool> TreeKiller::look(Job& job, const ProcessTable& table, TimePoint now) {
  const pid_t leader = job.tree.leader;
  const bool kill = now >= job.kill_at;
  const bool first = !std::exchange(job.begun, true);
  if (leader > 0 && first) {
    signal_group_of(leader, SIGTERM);
    signal_group_of(leader, SIGCONT);  // a stopped process does not receive it
  }
  if (leader > 0 && kill) signal_group_of(leader, SIGKILL);
  if (!reader_->is_supported()) return without_table(job, now);

  std::erase_if(job.members, [&table](pid_t pid) { return !table.find(pid)->lives; });
  job.grew = false;
  for (const pid_t pid : job.members) job.grew = job.tree.seen.insert(table.find(pid)->id).second || job.grew;
  signal_members(job, table, first, kill);
  if (job.died > 0 && job.members.empty()) chase(job, kill ? SIGKILL : SIGTERM);
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
      if (is_new ? was_told : !reader_->would_die_of(pid, SIGTERM)) continue;
      signal_process(*reader_, entry.id, SIGTERM);
      signal_process(*reader_, entry.id, SIGCONT);
    }
  }
  for (const pid_t pid : job.members) living_.push_back(table.find(pid)->id);
}

/// SIGKILL to all. A tree that goes on growing is stopped first: what was killed makes room for more under a limit of
/// processes, what was stopped does not.
void TreeKiller::kill_members(Job& job, const ProcessTable& table) {
  const bool stop = std::exchange(job.killed, true) && job.grew && job.stops < most_stops;
  job.stops = stop ? job.stops + 1 : 0;
  for (const pid_t pid : job.members) signal_process(*reader_, table.find(pid)->id, stop ? SIGSTOP : SIGKILL);
}

/// Follows a chain of processes that live too shortly for a look at all processes: among the newest alone.
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
      const bool may_be_claimed = orphans_are_claimed && reaps_ && is_orphan(found);
      if (may_be_claimed) take_others();  // it may be of a command that began after the last look at all
      const bool is_claimed = may_be_claimed && is_only_of(job, found);
      if (!is_near && !is_claimed) continue;
      signal_process(*reader_, found.id, signal);
      misses = 0;
    }
  }
}

/// Nothing lived at two looks in a row, and nothing died between them.
bool TreeKiller::is_clean(Job& job, bool empty) {
  const bool was_empty = std::exchange(job.was_empty, empty);
  if (!empty || !was_empty) return false;
  if (job.died == 0) return true;
  const bool are_of_others = ++job.undecided >= most_undecided && !others_.empty();
  return are_of_others;
}

/// Nothing: go on; else whether something is left.
std::optional<bool> TreeKiller::look_for_left(Job& job, const ProcessTable& table, TimePoint now) {
  if (!reader_->is_supported()) return false;
  std::erase_if(job.members, [&](pid_t pid) { return !table.find(pid)->lives; });
  for (const pid_t pid : job.members) job.tree.seen.insert(table.find(pid)->id);
  if (!job.members.empty() && now >= job.kill_at) return true;
  for (const pid_t pid : job.members) living_.push_back(table.find(pid)->id);
  if (is_clean(job, job.members.empty() && table.is_complete())) return false;
  return now >= job.give_up_at ? std::optional(true) : std::nullopt;
}

/// Whoever waits is called on the other thread, whose descriptors are those of the process.
void TreeKiller::finish(Job& job, bool result) {
  {
    const std::lock_guard lock(mutex_);
    const auto tree = trees_.find(job.tree.name);
    if (tree != trees_.end() && (job.done || (!result && !job.may_have_more && !tree->second.ends))) {
      trees_.erase(tree);
    } else if (tree != trees_.end()) {
      tree->second.known = job.tree;
      tree->second.known.leader = -1;  // it may be reaped from now on
    }
    callbacks_.push_back(
        [callback = job.done ? std::move(job.done) : std::move(job.found), result] { callback(result); });
  }
  called_.notify_one();
}

/// Until a time, or until there is something to do.
void TreeKiller::wait(TimePoint until) {
  const TimePoint now = std::chrono::steady_clock::now();
  std::vector<pollfd> watched{{wake_.get(), POLLIN, 0}};
  const bool hears_of_children = child_signals_ >= 0 && !reap_is_due_;
  if (hears_of_children) watched.push_back({child_signals_, POLLIN, 0});
  if (reap_is_due_) until = std::min(until, reap_at_);
#if defined(__linux__) && defined(SYS_pidfd_open)
  const std::size_t others = watched.size();
  for (std::size_t i = 0; i < living_.size() && i < most_watched; ++i) {
    const int held = static_cast<int>(::syscall(SYS_pidfd_open, living_[i].pid, 0));
    if (held >= 0) watched.push_back({held, POLLIN, 0});
    if (held < 0) until = std::min(until, now + (errno == ESRCH ? first_pause : unwatched_pause));
  }
#endif
  int timeout = -1;
  if (until != TimePoint::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
    timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  }
  ::poll(watched.data(), watched.size(), timeout);
#if defined(__linux__) && defined(SYS_pidfd_open)
  for (std::size_t i = others; i < watched.size(); ++i) ::syscall(SYS_close, watched[i].fd);
  std::uint64_t count = 0;
  static_cast<void>(::syscall(SYS_read, wake_.get(), &count, sizeof count));
  signalfd_siginfo info;
  if (hears_of_children && ::syscall(SYS_read, child_signals_, &info, sizeof info) > 0) reap_is_due_ = true;
#endif
}

/// The dead orphans that this look found.
void TreeKiller::reap_members(const ProcessTable& table) {
  for (const Job& job : jobs_) {
    for (const pid_t pid : job.dead) reap(*table.find(pid));
  }
  if (!reaps_ || !orphans_are_claimed) return;
  for (const auto& [pid, entry] : table.entries()) {
    if (!entry.lives && is_orphan(entry)) reap(entry);
  }
}

/// Orphans that ended by themselves. The end of each child of this process is signalled if it has claimed its orphans;
/// else it is looked at now and then, and only if orphans come here at all.
void TreeKiller::reap_orphans() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (child_signals_ < 0 && !std::exchange(reap_is_due_, is_subreaper())) return;
  if (!reap_is_due_ || now < reap_at_) return;
  bool reaped = false;
  bool is_blocked = false;  // by a dead child that is not for us to reap
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    const auto entry = reader_->find(info.si_pid);
    is_blocked = !orphans_are_claimed || !entry || !*entry || !is_orphan(**entry) || !reap(**entry);
    reaped = reaped || !is_blocked;
    info = {};
    if (is_blocked) break;
    for (Job& job : jobs_) {
      if (job.tree.began <= (*entry)->id.started) ++job.died;
    }
  }
  // Most often that is a command whose status is taken in a moment: only if one stays is it worth to look behind it.
  if (is_blocked && !std::exchange(was_blocked_, true)) {
    reap_at_ = now + first_reap_pause;
    return;
  }
  was_blocked_ = is_blocked;
  if (is_blocked) {
    const ProcessTable table = ProcessTable::read(*reader_);
    if (!orphans_are_claimed) {
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

/// In a host that has other children: those whose group or session is that of a command, and what was dead and without
/// an owner for a long time, in a group that is not ours.
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

bool TreeKiller::reap(const ProcessEntry& entry) { return ::waitpid(entry.id.pid, nullptr, WNOHANG) == entry.id.pid; }

}  // namespace remsh
