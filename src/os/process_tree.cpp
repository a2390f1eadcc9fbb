// TreeKiller: its functions and its threads. The decisions of a look are in process_tree_look.cpp.
#include "os/process_tree.hpp"

#include "os/orphans.hpp"
#include "os/process.hpp"
#include "os/threads.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/close_range.h>
#include <sched.h>
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

/// The longest run of a quick command, and the most processes that may have begun since: only these need be looked at.
constexpr Duration quick = 200ms;
constexpr pid_t most_since_quick = 256;

constexpr Duration find_left_patience = 2s;

}  // namespace

std::shared_ptr<TreeKiller> TreeKiller::of_this_process() {
  static std::mutex mutex;
  static auto& current = *new std::weak_ptr<TreeKiller>;  // for ever: static objects may still end processes
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
    // Without a thread only the process group can be ended.
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
          .stop_signal = tree.stop_signal,
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
    // Without a subreaper orphans go to init, and only their environment shows where they belong.
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

// --- the looking thread, up to the end of the file

/// Gives this thread a table of descriptors of its own, with only those that it needs.
void TreeKiller::keep_own_descriptors() noexcept {
#if defined(__linux__) && defined(SYS_close_range)
  if (::syscall(SYS_close_range, ~0U, ~0U, 0) != 0) return;  // the system is too old for this call
  if (::unshare(CLONE_FILES) != 0) return;
  std::vector<int> kept = reader_->descriptors();
  kept.push_back(wake_.get());
  kept.push_back(STDERR_FILENO);  // for messages of the C library about errors
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
  if (reaps_ && has_claimed_orphans()) {
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
  // One last look at each job, which may be done by now.
  if (!jobs_.empty()) round(std::chrono::steady_clock::now());
  for (Job& job : jobs_) finish(job, static_cast<bool>(job.found));
  jobs_.clear();
#if defined(__linux__)
  if (child_signals_ >= 0) ::syscall(SYS_close, child_signals_);
#endif
}

/// Takes new jobs, and changes of their times. False if the thread must end.
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

/// Waits until `until`, or until there is something to do.
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

/// The callback runs on the other thread, which has the descriptors of the process.
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

}  // namespace remsh
