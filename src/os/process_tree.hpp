// TreeKiller: ends everything that a command started, finds what it left behind, and reaps orphans.
#pragma once

#include "os/process_table.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
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

/// The root of a process tree. The leader must stay an unreaped child of ours while this is in use.
struct ProcessTree {
  pid_t leader = -1;
  Bytes name;                 ///< in the environment of its processes
  int stop_signal = SIGTERM;  ///< what its processes get first. By default it ends a process
};

/// Ends process trees, on two threads of its own. Thread-safe.
///
/// process_tree.cpp has the functions and the threads, process_tree_look.cpp the decisions of each look,
/// process_tree_reap.cpp the reaping of orphans.
///
/// One thread looks and kills, with a table of descriptors of its own, so that it works even if the process has none
/// left. The other one calls the callbacks. Both are started by prepare(), or when they are first needed, and stay.
///
/// A process is a member of a tree by its group, its session, its ancestors, the name in its environment, or because it
/// was found to be one before. If this process has claimed its orphans, an orphan that none of this identifies belongs
/// to the commands that ran when it began: it is ended with the last of these. A tree counts as gone if two looks found
/// nothing alive and no orphan died between them: orphans become children of this process, so a chain of short-lived
/// processes leaves its dead here. Without /proc only the process group of a command is ended.
class TreeKiller {
 public:
  /// Called on a thread of the killer. `gone`: nothing of the tree is alive. It must not destroy the killer.
  using Done = std::function<void(bool gone)>;
  /// Called on a thread of the killer. `left`: something of the tree is alive. It must not destroy the killer.
  using Found = std::function<void(bool left)>;

  /// Whether the killer also reaps orphans, and ends those that only one command can have started. At most one killer
  /// of a process.
  enum class Orphans : std::uint8_t { left, reaped };

  explicit TreeKiller(Orphans orphans = Orphans::left) : reaps_(orphans == Orphans::reaped) {}
  TreeKiller(const TreeKiller&) = delete;
  TreeKiller& operator=(const TreeKiller&) = delete;

  /// Gives up unfinished jobs (their callbacks say so), and waits for the threads.
  ~TreeKiller();

  /// The killer that all commands of this process share. It also reaps orphans.
  static std::shared_ptr<TreeKiller> of_this_process();

  /// Starts the threads. Throws std::system_error if there is no thread or descriptor for them.
  void prepare();

  /// Sends its stop signal to the whole tree now, and SIGKILL from `kill_at` on, until nothing is left or `give_up_at`
  /// has passed. A process that is alive although it neither catches nor ignores the stop signal has not received it,
  /// and gets it again. A tree that was watch()ed is forgotten when it is over. Its leader may have been reaped after
  /// find_left().
  void end(ProcessTree tree, TimePoint kill_at, TimePoint give_up_at, Done done);

  /// Makes the times of an unfinished end() earlier.
  void hurry(const Bytes& name, TimePoint kill_at, TimePoint give_up_at);

  /// From now on the tree is known as that of a running command. Call it before the leader is started.
  void watch(const Bytes& name);
  void set_leader(const Bytes& name, pid_t leader);

  /// Whether something of a watched tree is left after its leader, which has ended and is not reaped. Cheap, but
  /// decides only for quick commands: nullopt means that find_left() is needed. False: the tree is forgotten.
  std::optional<bool> has_left(const Bytes& name);

  /// The same with a full look. Processes have until `settled` to end, as a process closes its files before it is gone.
  /// If something may be left, the tree stays known, and its leader may be reaped then.
  void find_left(const Bytes& name, TimePoint settled, Found found);

  /// Whether a tree is still known, so that something of it may be alive.
  [[nodiscard]] bool knows(const Bytes& name) const;

  /// Forgets a tree.
  void forget(const Bytes& name);

  /// How often processes were looked at, and how many environments were read for it. For tests.
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
    int stop_signal = SIGTERM;
    Done done;                      // from end()
    Found found;                    // from find_left()
    std::set<pid_t> members = {};   // in this look
    std::vector<pid_t> dead = {};   // members that are orphans to be reaped
    std::set<ProcessId> told = {};  // those that got the stop signal
    bool begun = false;
    bool was_empty = false;      // the last look found nothing alive
    bool may_have_more = false;  // processes are alive that may belong to this tree or to others
    std::size_t died = 0;        // orphans that died since the last look and may have been in this tree
    unsigned undecided = 0;      // looks in a row that found nothing alive but newly dead processes
    bool killed = false;         // the last look sent SIGKILL or SIGSTOP
    bool grew = false;           // the last look found new members
    unsigned stops = 0;          // looks in a row that stopped new members
  };

  struct Tree {
    KnownTree known;
    TimePoint began_at;
    bool ends = false;         // there is an end() job for it
    unsigned empty_looks = 0;  // in a row, after its leader was reaped
  };

  struct Hurry {
    Bytes name;
    TimePoint kill_at;
    TimePoint give_up_at;
  };

  static constexpr Duration first_pause = std::chrono::milliseconds(1);

  /// How many processes' ends can be awaited at one time; with more processes there is a look at least this often.
  static constexpr std::size_t most_watched = 64;
  static constexpr Duration unwatched_pause = std::chrono::milliseconds(50);

  void start();  // with mutex_ held
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

  mutable std::mutex mutex_;  // guards the following members
  std::vector<Job> incoming_;
  std::vector<Hurry> hurries_;
  std::map<Bytes, Tree> trees_;
  bool stopping_ = false;
  std::vector<std::function<void()>> callbacks_;
  bool has_stopped_ = false;  // no more callbacks will be added
  std::condition_variable called_;
  std::thread looker_;
  std::thread caller_;

  std::optional<ProcessReader> reader_;  // set once, before the thread starts
  UniqueFd wake_;
  std::atomic<std::size_t> looks_{0};
  std::atomic<std::size_t> environments_{0};

  // Only for the looking thread.
  std::vector<Job> jobs_;
  std::map<Bytes, KnownTree> others_;  // known trees without an end() job
  CommandNames names_;
  Duration pause_{};
  std::vector<ProcessId> living_;  // those whose end is awaited
  int child_signals_ = -1;         // a descriptor; -1: ends of children are not signalled
  bool reap_is_due_ = false;
  bool was_blocked_ = false;  // at the last check there was a dead child that is not ours to reap
  TimePoint reap_at_{};       // not before this time
  Duration reap_pause_{};
  TimePoint strangers_at_{};
  std::vector<ProcessId> suspects_;
};

}  // namespace remsh
