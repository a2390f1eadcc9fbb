// ProcessTable: the processes of this machine as /proc shows them, and which of them belong to one tree.
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
/// Every function tells a process that is gone from one that could not be read: without a free descriptor the second
/// happens to all of them.
class ProcessReader {
 public:
  ProcessReader();

  /// False on a system that has no /proc.
  [[nodiscard]] bool is_supported() const noexcept { return static_cast<bool>(directory_); }

  /// The descriptors that it keeps open.
  [[nodiscard]] std::vector<int> descriptors() const;

  /// The numbers of all processes. One thread at a time.
  [[nodiscard]] Result<std::vector<pid_t>> pids() const;

  /// One process; nullopt if there is none of this number, or we may not see it.
  [[nodiscard]] Result<std::optional<ProcessEntry>> find(pid_t pid) const;

  /// The value of command_variable in the environment that a process began with; nullopt if the environment is empty
  /// (in the middle of an exec) or not for us to read.
  [[nodiscard]] Result<std::optional<Bytes>> commands_of(pid_t pid) const;

  /// Whether a signal would end a process, since it neither ignores nor catches it.
  [[nodiscard]] bool would_die_of(pid_t pid, int signal) const;

  /// The number that was given to a process last; nullopt if the system does not say.
  [[nodiscard]] std::optional<pid_t> last_pid() const;

  /// Whether this very process is there.
  [[nodiscard]] bool is_there(const ProcessId& process) const;

 private:
  [[nodiscard]] Result<std::optional<Bytes>> read(pid_t pid, const char* file, std::size_t limit) const;

  UniqueFd directory_;
  UniqueFd load_;  // loadavg, whose last word is the last pid
};

/// The time since the system was booted in the ticks of ProcessId::started.
std::uint64_t ticks_now() noexcept;

/// Remembers the names in the environments of processes, so that these are read once. One thread at a time.
class CommandNames {
 public:
  /// Whether a process carries a name of a command. False, too, if it cannot be known.
  bool has(const ProcessReader& reader, const ProcessId& process, const Bytes& name);

  /// Forgets the processes that are not in a table any more.
  void keep_only(const std::map<pid_t, ProcessEntry>& entries);

  /// How many environments were read.
  [[nodiscard]] std::size_t reads() const noexcept { return reads_; }

 private:
  std::map<ProcessId, Bytes> known_;
  std::size_t reads_ = 0;
};

/// One tree of processes as it is known over time.
struct KnownTree {
  pid_t leader = -1;           ///< an unreaped child of ours; -1: it was reaped
  Bytes name;                  ///< as in the environment of its processes
  std::uint64_t began = 0;     ///< in ticks; what started earlier is not of it. 0: not known
  std::set<ProcessId> seen{};  ///< what was found of it at some time
};

/// All processes of this machine that we can see, at one time. One thread at a time.
///
/// It is not one moment: what forks and ends fast enough while the list is read can escape one look. What must be sure
/// looks twice, and at what died meanwhile.
class ProcessTable {
 public:
  using Entry = ProcessEntry;

  /// Reads it with a reader of its own.
  static ProcessTable read();
  static ProcessTable read(const ProcessReader& reader);

  /// False if it could not be read, or not all of it. Then nothing follows from a process that is not in it.
  [[nodiscard]] bool is_complete() const noexcept { return complete_; }
  [[nodiscard]] const Entry* find(pid_t pid) const;
  [[nodiscard]] const std::map<pid_t, Entry>& entries() const noexcept { return entries_; }

  /// What belongs to a tree, zombies included: by process group, by parents, by session, by name, and what descends
  /// from those of `seen` that are left. Never ourselves.
  std::set<pid_t> members(const KnownTree& tree, const ProcessReader& reader, CommandNames& names) const;

 private:
  std::map<pid_t, Entry> entries_;
  std::multimap<pid_t, pid_t> children_;
  std::multimap<pid_t, pid_t> sessions_;
  bool complete_ = false;
};

/// Sends a signal to exactly this process; false if it is gone.
bool signal_process(const ProcessReader& reader, const ProcessId& process, int signal) noexcept;

}  // namespace remsh
