// Everything that a command started and that still lives, also what has left its process group; ending all of it.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace remsh {

/// The environment variable by which the processes of a command are known, wherever they went. Its value is a list:
/// where a slave is itself a command of another slave, its commands carry both names.
inline constexpr BytesView command_variable = "REMSH_COMMAND";

/// A name for one more command: not guessable, not used before by any slave of this machine.
Bytes new_command_name();

/// NAME=value for the environment of a command, given our own environment.
Bytes command_entry(const std::vector<Bytes>& environment, const Bytes& name);

/// One process, and not another one that got its number later.
struct ProcessId {
  pid_t pid = -1;
  std::uint64_t started = 0;  ///< in the system's ticks; 0: it is not known
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

/// Where a tree of processes begins. The leader must stay an unreaped child of ours for as long as this is used.
struct ProcessTree {
  pid_t leader = -1;
  Bytes name;  ///< as in its environment
};

/// All processes of this machine that we can see, at one time. One thread at a time.
///
/// It is not one moment: what forks and ends fast enough while the list is read can escape one look, so who must be
/// sure looks twice.
class ProcessTable {
 public:
  struct Entry {
    ProcessId id;
    pid_t parent = -1;
    pid_t group = -1;
    bool lives = false;             // false: a zombie
    std::optional<Bytes> commands;  // the value of its command_variable; read when first wanted
  };

  /// Reads it from /proc; empty where there is none.
  static ProcessTable read();

  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] const Entry* find(pid_t pid) const;
  [[nodiscard]] const std::map<pid_t, Entry>& entries() const noexcept { return entries_; }

  /// The living of a tree, its leader included: by process group, by parents, by name, and what descends from those
  /// of `known` that are left. Never ourselves.
  std::vector<ProcessId> living(const ProcessTree& tree, const std::set<ProcessId>& known = {});

 private:
  std::map<pid_t, Entry> entries_;
};

/// Sends a signal to exactly this process; false where it is gone.
bool signal_process(const ProcessId& process, int signal) noexcept;

/// Ends trees of processes, on a thread of its own while there are any. Thread-safe.
///
/// Where the system shows no /proc only the process group of a command is ended, and known to be ended when the
/// leader is.
class TreeKiller {
 public:
  /// Told, on the killer's thread, how it went: true, nothing of the tree lives. It must not call the killer.
  using Done = std::function<void(bool gone)>;

  TreeKiller() = default;
  TreeKiller(const TreeKiller&) = delete;
  TreeKiller& operator=(const TreeKiller&) = delete;

  /// Gives up what is not done (and says so), and waits for the thread.
  ~TreeKiller();

  /// SIGTERM to all of the tree now, SIGKILL from `kill_at` on, until nothing is left or `give_up_at` has passed. Who
  /// lives on although nothing of it catches or ignores SIGTERM has not heard it, and is told again.
  void end(ProcessTree tree, TimePoint kill_at, TimePoint give_up_at, Done done);

 private:
  struct Job {
    ProcessTree tree;
    TimePoint kill_at;
    TimePoint give_up_at;
    Done done;
    std::set<ProcessId> seen = {};  // each was told to end
    bool begun = false;
    unsigned clean_looks = 0;  // one after the other that showed nothing alive
  };

  void run();
  static std::optional<bool> look(Job& job, ProcessTable& table, TimePoint now);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Job> incoming_;
  bool running_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

/// Reaps what commands left behind, in a process that orphans come to (a child subreaper). One thread at a time.
///
/// Such an orphan is not told from a child that another part of this program started by its number; therefore only
/// those are taken that are dead, of a process group that is not our own, not known to the asker, and were all that at
/// the look before already.
class OrphanReaper {
 public:
  /// Whether this process is one that orphans come to.
  [[nodiscard]] static bool is_needed() noexcept;

  /// One look; gives how many it reaped. Seconds should lie between looks. `is_known`: is a child that has an owner.
  std::size_t look(const std::function<bool(pid_t)>& is_known);

 private:
  std::vector<ProcessId> suspects_;
};

}  // namespace remsh
