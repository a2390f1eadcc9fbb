// ProcessTable: the processes of this machine as /proc shows them, and which of them belong to a tree.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace remsh {

/// The environment variable that marks the processes of a command, wherever they move. Its value is a list: if a slave
/// is itself a command of another slave, its commands carry both names.
inline constexpr BytesView command_variable = "REMSH_COMMAND";

/// A name for a new command: it cannot be guessed, and no slave of this machine has used it.
Bytes new_command_name();

/// NAME=value for the environment of a command, based on our own environment.
Bytes command_entry(const std::vector<Bytes>& environment, const Bytes& name);

/// Identifies one process, even if another one gets its number later.
struct ProcessId {
  pid_t pid = -1;
  std::uint64_t started = 0;  ///< in the system's ticks; 0: unknown
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

/// What the system shows of one process.
struct ProcessEntry {
  ProcessId id;
  pid_t parent = -1;
  pid_t group = -1;
  pid_t session = -1;
  bool lives = false;  ///< false: a zombie
};

/// Reads /proc by a descriptor that is opened once. Thread-safe, except pids().
///
/// Every function distinguishes a process that is gone from one that could not be read: if no descriptor is free, no
/// process can be read.
class ProcessReader {
 public:
  ProcessReader();

  /// False on a system that has no /proc.
  [[nodiscard]] bool is_supported() const noexcept { return static_cast<bool>(directory_); }

  /// The descriptors that it keeps open.
  [[nodiscard]] std::vector<int> descriptors() const;

  /// The pids of all processes. One thread at a time.
  [[nodiscard]] Result<std::vector<pid_t>> pids() const;

  /// One process; nullopt if there is none with this pid, or we may not see it.
  [[nodiscard]] Result<std::optional<ProcessEntry>> find(pid_t pid) const;

  /// The value of command_variable in the initial environment of a process; nullopt if the environment is empty (in the
  /// middle of an exec) or we may not read it.
  [[nodiscard]] Result<std::optional<Bytes>> commands_of(pid_t pid) const;

  /// Whether a signal would end a process, which neither ignores nor catches it.
  [[nodiscard]] bool would_die_of(pid_t pid, int signal) const;

  /// The pid that was assigned last; nullopt if the system does not say.
  [[nodiscard]] std::optional<pid_t> last_pid() const;

  /// Whether this very process exists.
  [[nodiscard]] bool is_there(const ProcessId& process) const;

 private:
  [[nodiscard]] Result<std::optional<Bytes>> read(pid_t pid, const char* file, std::size_t limit) const;

  UniqueFd directory_;
  UniqueFd load_;  // loadavg, whose last word is the last pid
};

/// The time since the system was booted, in the ticks of ProcessId::started.
std::uint64_t ticks_now() noexcept;

/// Caches the names in the environments of processes, so that each is read once. One thread at a time.
class CommandNames {
 public:
  /// Whether a process carries the name of a command. False if that is unknown.
  bool has(const ProcessReader& reader, const ProcessId& process, const Bytes& name);

  /// Forgets the processes that are not in a table.
  void keep_only(const std::map<pid_t, ProcessEntry>& entries);

  /// How many environments were read.
  [[nodiscard]] std::size_t reads() const noexcept { return reads_; }

 private:
  std::map<ProcessId, Bytes> known_;
  std::size_t reads_ = 0;
};

/// What is known of a process tree over time.
struct KnownTree {
  pid_t leader = -1;           ///< an unreaped child of ours; -1: it was reaped
  Bytes name;                  ///< in the environment of its processes
  std::uint64_t began = 0;     ///< in ticks; a process that started earlier is not in the tree. 0: unknown
  std::set<ProcessId> seen{};  ///< members that were found so far
};

/// All processes of this machine that we can see, at one time. One thread at a time.
///
/// The list is not read in one moment: a process that forks and ends quickly can escape it. Code that must be certain
/// looks twice, and at what died meanwhile.
class ProcessTable {
 public:
  using Entry = ProcessEntry;

  /// Reads the table with a reader of its own.
  static ProcessTable read();
  static ProcessTable read(const ProcessReader& reader);

  /// False if it could not be read completely. Then the absence of a process in it proves nothing.
  [[nodiscard]] bool is_complete() const noexcept { return complete_; }
  [[nodiscard]] const Entry* find(pid_t pid) const;
  [[nodiscard]] const std::map<pid_t, Entry>& entries() const noexcept { return entries_; }

  /// The members of a tree, zombies included: by process group, by parents, by session, by name, and the descendants of
  /// those in `seen` that still exist. Never this process.
  std::set<pid_t> members(const KnownTree& tree, const ProcessReader& reader, CommandNames& names) const;

 private:
  std::map<pid_t, Entry> entries_;
  std::multimap<pid_t, pid_t> children_;
  std::multimap<pid_t, pid_t> sessions_;
  bool complete_ = false;
};

/// Sends a signal to exactly this process; false if it is gone, or the system does not allow it.
bool signal_process(const ProcessReader& reader, const ProcessId& process, int signal) noexcept;

/// Waits until exactly this process has ended. False on a system that has no way to wait for a process of another one.
bool wait_for_end(const ProcessReader& reader, const ProcessId& process) noexcept;

}  // namespace remsh
