// TreeKiller: ends all that a command started, finds what one left behind, and reaps orphans.
#pragma once

#include "os/process_table.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace remsh {

/// Where a tree of processes begins. The leader must stay an unreaped child of ours for as long as this is used.
struct ProcessTree {
  pid_t leader = -1;
  Bytes name;  ///< as in its environment
};

/// Ends trees of processes, on two threads of its own. Thread-safe.
///
/// process_tree.cpp has the calls and the threads, process_tree_look.cpp what is decided at each look,
/// process_tree_reap.cpp the reaping of orphans.
///
/// One looks and kills, by a table of descriptors of its own, so that it works when the process has none left; the
/// other one calls back. They are started by prepare(), or else when they are first needed, and stay.
///
/// A process counts as a member of a tree by its group, its session, its ancestors, the name in its environment, or
/// because it was found as one before. If this process has claimed its orphans, one that none of this tells of belongs
/// to the commands that ran when it began: it is ended with the last of these. "Nothing lives" is said if two looks
/// found nothing alive and no orphan died between them: orphans come to this process, so a chain of short-lived
/// processes leaves its dead here. Without /proc only the process group of a command is ended.
class TreeKiller {
 public:
  /// Called on a thread of the killer. True: nothing of the tree lives. It must not destroy the killer.
  using Done = std::function<void(bool gone)>;
  /// Called on a thread of the killer. True: something of the tree lives. It must not destroy the killer.
  using Found = std::function<void(bool left)>;

  /// Whether it also reaps orphans, and takes those that can only be of a command for that. At most one of a process.
  enum class Orphans : std::uint8_t { left, reaped };

  explicit TreeKiller(Orphans orphans = Orphans::left) : reaps_(orphans == Orphans::reaped) {}
  TreeKiller(const TreeKiller&) = delete;
  TreeKiller& operator=(const TreeKiller&) = delete;

  /// Gives up what is not done (and says so), and waits for the threads.
  ~TreeKiller();

  /// The one that all commands of this process share, which also reaps orphans.
  static std::shared_ptr<TreeKiller> of_this_process();

  /// Starts the threads. Throws std::system_error if there is no thread or descriptor for them.
  void prepare();

  /// SIGTERM to all of the tree now, SIGKILL from `kill_at` on, until nothing is left or `give_up_at` has passed. A
  /// process that lives on although it neither catches nor ignores SIGTERM has not received it, and gets it again.
  /// A tree that was watch()ed is forgotten when it is over; its leader may have been reaped after find_left().
  void end(ProcessTree tree, TimePoint kill_at, TimePoint give_up_at, Done done);

  /// Brings the times of an end() that is under way forward.
  void hurry(const Bytes& name, TimePoint kill_at, TimePoint give_up_at);

  /// From now on a tree is known as that of a running command; to be called before its leader is started.
  void watch(const Bytes& name);
  void set_leader(const Bytes& name, pid_t leader);

  /// Whether something of a watched tree lives on after its leader, which has ended and is not reaped. Cheap, and
  /// certain only for a quick command: nullopt means that find_left() must be asked. False: the tree is forgotten.
  std::optional<bool> has_left(const Bytes& name);

  /// The same by a full look. What lives on has until `settled` to end: a process closes its files before it is gone.
  /// If something may live, the tree stays known, and its leader may be reaped then.
  void find_left(const Bytes& name, TimePoint settled, Found found);

  /// Whether a tree is still known: something of it may live.
  [[nodiscard]] bool knows(const Bytes& name) const;

  /// Forgets a tree.
  void forget(const Bytes& name);

  /// How often processes were looked at, and how many environments were read for that. For tests.
  struct Effort {
    std::size_t looks = 0;
    std::size_t environments = 0;
  };
  [[nodiscard]] Effort effort() const;

 private:
  struct Job {
    KnownTree tree;
    TimePoint kill_at;
    TimePoint give_up_at;
    Done done;                      // of end()
    Found found;                    // of find_left()
    std::set<pid_t> members = {};   // of this look
    std::vector<pid_t> dead = {};   // among them, orphans that are to be reaped
    std::set<ProcessId> told = {};  // each got SIGTERM
    bool begun = false;
    bool was_empty = false;      // the last look found nothing alive
    bool may_have_more = false;  // what lives is not known to be of this tree alone
    std::size_t died = 0;        // orphans since the last look that may have been of this tree
    unsigned undecided = 0;      // looks in a row that found nothing alive but new dead
    bool killed = false;         // the last look sent SIGKILL or SIGSTOP
    bool grew = false;           // the last look found new members
    unsigned stops = 0;          // looks in a row that stopped new members
  };

  struct Tree {
    KnownTree known;
    TimePoint began_at;
    bool ends = false;         // a job of end() has it
    unsigned empty_looks = 0;  // in a row, after its leader was reaped
  };

  struct Hurry {
    Bytes name;
    TimePoint kill_at;
    TimePoint give_up_at;
  };

  static constexpr Duration first_pause = std::chrono::milliseconds(1);

  /// How many processes' ends are waited for at one time; with more of them a look comes at least this often.
  static constexpr std::size_t most_watched = 64;
  static constexpr Duration unwatched_pause = std::chrono::milliseconds(50);

  void start();  // with mutex_
  void wake() noexcept;
  void add(Job job, std::unique_lock<std::mutex>& lock);
  void call_back();
  void run();
  void keep_own_descriptors() noexcept;
  bool take_incoming();
  void take_others();
  TimePoint round(TimePoint now);
  void find_members(Job& job, const ProcessTable& table);
  void forget_empty(const ProcessTable& table, bool has_unknown);
  bool share_orphans(const ProcessTable& table);
  void attribute(const ProcessTable& table, const ProcessEntry& orphan);
  std::optional<bool> look(Job& job, const ProcessTable& table, TimePoint now);
  std::optional<bool> look_for_left(Job& job, const ProcessTable& table, TimePoint now);
  std::optional<bool> without_table(Job& job, TimePoint now) const;
  void signal_members(Job& job, const ProcessTable& table, bool first, bool kill);
  void kill_members(Job& job, const ProcessTable& table);
  void chase(Job& job, int signal);
  bool is_clean(Job& job, bool empty);
  void finish(Job& job, bool result);
  void wait(TimePoint until);
  void reap_members(const ProcessTable& table);
  void reap_orphans();
  void reap_strangers(const ProcessTable& table, TimePoint now);
  [[nodiscard]] bool is_only_of(const Job& job, const ProcessEntry& orphan) const;

  const bool reaps_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<Job> incoming_;
  std::vector<Hurry> hurries_;
  std::map<Bytes, Tree> trees_;
  bool stopping_ = false;
  std::vector<std::function<void()>> callbacks_;
  bool has_stopped_ = false;  // no callback comes any more
  std::condition_variable called_;
  std::thread looker_;
  std::thread caller_;

  std::optional<ProcessReader> reader_;  // set once, before the thread
  UniqueFd wake_;
  std::atomic<std::size_t> looks_{0};
  std::atomic<std::size_t> environments_{0};

  // The looking thread only.
  std::vector<Job> jobs_;
  std::map<Bytes, KnownTree> others_;  // known trees that no job ends
  CommandNames names_;
  Duration pause_{};
  std::vector<ProcessId> living_;  // whose end is waited for
  int child_signals_ = -1;         // a descriptor; -1: ends of children are not told
  bool reap_is_due_ = false;
  bool was_blocked_ = false;  // at the last time something was dead that is not for us to reap
  TimePoint reap_at_{};       // not before
  Duration reap_pause_{};
  TimePoint strangers_at_{};
  std::vector<ProcessId> suspects_;
};

}  // namespace remsh
