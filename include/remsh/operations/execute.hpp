// ExecuteOptions, ExecuteResult: options and result of execute().
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/operations/streams.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <vector>

namespace remsh {

/// What becomes of processes that a command leaves behind when it ends by itself.
enum class Background {
  kill,   ///< they are ended as by a timeout, before the result comes
  leave,  ///< they live on, until the connection ends
};

/// One limit of the system for each process of a command, as setrlimit() sets it.
///
///     slave->execute({"make"}, {.limits = {{"nofile", 1024}, {"core", 0}, {"cpu", 60, remsh::unlimited}}});
struct ResourceLimit {
  /// The name of setrlimit() without its prefix, in small letters: "as", "core", "cpu", "data", "fsize", "memlock",
  /// "nofile", "nproc", "stack", and others that the slave's system has.
  std::string name;
  std::uint64_t soft;                      ///< in the unit of setrlimit(): bytes, seconds, a number; or `unlimited`
  std::optional<std::uint64_t> hard = {};  ///< nullopt: as `soft`
};

/// A limit that is none.
inline constexpr std::uint64_t unlimited = UINT64_MAX;

/// Limits for all processes of a command together, by a control group of the slave's system (cgroup v2).
///
///     slave->execute({"make", "-j8"}, {.group_limits = {.memory = 2'000'000'000, .processes = 200, .cpus = 1.5}});
///
/// The slave must have the right to make control groups, and its own must contain no processes of others: it has both
/// as a service of systemd with Delegate=yes, as ours. If it cannot make the group, nothing is run, and the error says
/// why.
struct GroupLimits {
  /// Bytes of memory, without swap. If the command needs more, the system ends all of its processes
  /// (ExecuteResult::out_of_memory).
  std::optional<std::uint64_t> memory = {};
  /// Processes and threads at a time. Beyond that the command cannot start one (ExecuteResult::out_of_processes).
  std::optional<std::uint64_t> processes = {};
  std::optional<double> cpus = {};  ///< time of CPUs: 1.5 is as much as one and a half of them have
};

/// A terminal for a command, with its size in characters.
struct Terminal {
  std::uint16_t columns = 80;
  std::uint16_t rows = 24;
};

/// How much of each output of a command is sent. If there is more, a line says so in its place, "[remsh: ...]", the
/// result says how much, and the command goes on.
struct OutputLimit {
  std::optional<std::uint64_t> bytes = {};
  std::optional<std::uint64_t> lines = {};
};

/// What is sent of the content that a log file has when its command begins.
enum class LogBegin : std::uint8_t {
  changed,  ///< all of it, as soon as anything is written to the file: what an earlier command has left is not sent
  start,    ///< all of it, in any case
  end,      ///< nothing: only what is added; for files to which many append
};

/// A file into which a command writes, and that is sent while it does.
///
///     slave->execute({"make", "test"}, {.log_files = {{"test", "build/test.log", remsh::lines(print)}}});
///
/// A file that appears later is sent from its beginning, and so is one that was truncated, as soon as the slave has
/// seen that it is shorter than what was read. If another file gets the path, as when logs are rotated, the rest of the
/// old one is sent first. What was written when the command ends comes before its result.
struct LogFile {
  std::string name;  ///< what it is called in the result; not empty, and different from the names of the others
  /// On the slave, relative to the directory of the command. A path that a policy forbids to fetch() is not sent.
  std::string path;
  Output out = {};  ///< captured by default; `merge` and `discard` are not possible
  LogBegin begin = LogBegin::changed;
};

struct ExecuteOptions {
  std::string cwd = {};  ///< the working directory, relative to the session's directory; empty: that directory
  std::map<Bytes, std::optional<Bytes>> env = {};  ///< changes to the slave's environment; nullopt unsets a variable
  bool clear_env = false;                          ///< start from an empty environment instead
  /// Texts that are put before the values of variables like PATH, with a colon between. `env` is applied before.
  std::map<Bytes, Bytes> prepend_env = {};

  Source in = {};   ///< standard input; by default /dev/null
  Output out = {};  ///< standard output; captured by default
  Output err = {};
  /// Where the lines of header() go while the command runs, and a line when the slave begins to end it by a signal:
  ///
  ///     ending: silent for 60 s, SIGTERM
  ///
  /// If the command cannot be run, the last line has the error. A slave of remsh 1 and a worker of Buildbot say nothing
  /// themselves: all lines come at the end.
  ///
  /// By default nowhere. It can be neither captured nor merged, and has no times.
  Output header = discard;
  /// Workers of Buildbot change what a command writes: docs/buildbot.md says how. With this option they send its exact
  /// bytes, after it has ended. Slaves of this library always do, at once.
  bool exact_output = false;
  /// Gives the command a terminal of its own (a pty) in place of pipes, as the controlling terminal of its session.
  /// What the program writes comes as `out`, and `err` must be left alone: a terminal has one output. `in` is typed,
  /// with an echo; its end types Ctrl-D, as does an `in` that is not given, once. Set the variable TERM in `env` if the
  /// program needs it.
  std::optional<Terminal> terminal = {};
  /// Files that are sent while the command runs, at most 64. Their callbacks are called as those of `out` and `err`.
  std::vector<LogFile> log_files = {};
  OutputLimit output_limit = {};  ///< for each output and log file, enforced by the slave; by default there is none

  std::chrono::milliseconds timeout{0};  ///< how long the command may run, enforced by the slave; 0: no limit
  /// How long the command may write nothing to its output, error or log files, enforced by the slave; 0: no limit.
  /// Output that is discarded is not seen, nor what a program still holds in a buffer of its own, as many do if they
  /// write to a pipe. While output waits for a callback of the caller, the command is not silent.
  std::chrono::milliseconds silence_timeout{0};
  /// What the command gets first when it is interrupted: SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
  /// SIGABRT or SIGKILL.
  int stop_signal = SIGTERM;
  std::chrono::milliseconds kill_after{2000};  ///< from `stop_signal` to SIGKILL when the command is interrupted

  Background background = Background::kill;

  int nice = 0;  ///< added to the slave's niceness, -20 to 19; a negative one needs the right to it
  std::optional<std::uint32_t> umask = {};  ///< the file mode creation mask, at most 0777; by default the slave's
  std::vector<ResourceLimit> limits = {};   ///< limits for each process of the command; by default the slave's

  GroupLimits group_limits = {};  ///< limits for all processes of the command together

  /// The account as which the command runs, with all of its groups and its HOME, USER, LOGNAME and PATH; empty: the
  /// slave's own. Only if the slave runs as root and its SlavePolicy::users has the account.
  std::string user = {};

  /// Texts that nobody should see, such as a password in an argument. On both sides, `***` takes the place of each in
  /// everything that shows arguments of this command: audits, lists of operations, errors; a trace leaves out what
  /// contains one. The values of variables are never shown. Output is not changed. While a command runs, the users of
  /// the slave's host can see its arguments, and its user can see its variables.
  std::vector<Bytes> secrets = {};

  CallDeadline deadline = {};  ///< how long the caller waits
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

/// The resources used by the first process of a command and by those of its descendants that were waited for; nullopt
/// if the slave does not report them.
struct ResourceUse {
  std::optional<std::chrono::microseconds> user_time = {};    ///< CPU time in programs
  std::optional<std::chrono::microseconds> system_time = {};  ///< CPU time in the operating system
  std::optional<std::uint64_t> peak_memory = {};              ///< the largest resident set of one process, in bytes

  friend bool operator==(const ResourceUse&, const ResourceUse&) = default;
};

/// What became of a log file.
struct LogFileResult {
  Bytes content = {};         ///< if it was captured, as ExecuteResult::out
  std::uint64_t omitted = 0;  ///< bytes beyond the limit of capture()
  std::uint64_t dropped = 0;  ///< bytes beyond ExecuteOptions::output_limit
  std::error_code os = {};    ///< why it, or its rest, could not be read: std::errc::no_such_file_or_directory
  std::string problem = {};   ///< the same as a sentence; empty: it was read to its end
};

/// How a command ended, its captured output, and what the slave says about it.
struct ExecuteResult {
  std::optional<int> exit_code = {};  ///< set if the command exited
  std::optional<int> signal = {};     ///< set if a signal ended the command
  bool core_dumped = false;           ///< with `signal`: the slave's system has written a core file
  bool timed_out = false;             ///< ExecuteOptions::timeout ended the command
  bool went_silent = false;           ///< ExecuteOptions::silence_timeout ended the command
  bool interrupted = false;           ///< Command::interrupt() ended the command
  /// True if processes of the command are still running, because of Background::leave. Their further output is lost;
  /// they are ended when the connection ends. Also true if a process that does not belong to the command holds its
  /// output open.
  bool left_background = false;
  bool ended_background = false;  ///< it had left processes behind, and they were ended
  bool out_of_memory = false;     ///< it reached GroupLimits::memory, and the system ended its processes
  bool out_of_processes = false;  ///< it reached GroupLimits::processes, or such a limit of the slave itself

  /// How long the command ran on the slave, until its first process ended; nullopt if the slave does not report it.
  std::optional<std::chrono::microseconds> ran = {};
  ResourceUse used = {};
  std::optional<std::uint64_t> pid = {};  ///< of its first process, on the slave; nullopt if the slave does not say
  Bytes dir = {};                         ///< the absolute path of its directory there; empty if it does not say

  Bytes out = {};  ///< captured output; missing bytes are replaced by a mark: "[remsh: 42 bytes omitted]"
  Bytes err = {};
  std::uint64_t out_omitted = 0;  ///< bytes beyond the limit of capture(), omitted from the middle
  std::uint64_t err_omitted = 0;
  std::uint64_t out_dropped = 0;  ///< bytes beyond ExecuteOptions::output_limit
  std::uint64_t err_dropped = 0;
  std::map<std::string, LogFileResult> logs = {};  ///< of each of ExecuteOptions::log_files, by its name

  /// True if the command exited with 0.
  [[nodiscard]] bool ok() const noexcept { return exit_code == 0; }
};

/// What a build master shows above the output of a command, in lines: its arguments, its directory, the variables that
/// were changed, the process, and how it ended. No value of a variable is shown, and no secret. ExecuteOptions::header
/// has the same while the command runs.
///
///     command: 'make' '-j8'
///     environment: of the slave; CC, CFLAGS set; LANG unset; PATH prepended
///     limits: 600 s, 60 s of silence
///     directory: /srv/w1/build
///     process: 4711, as user build
///     ended: exit code 0, after 12.5 s
REMSH_API std::string header(const std::vector<Bytes>& args, const ExecuteOptions& options,
                             const ExecuteResult& result);

/// How a command ended, in words: "exit code 3", "signal 9, timed out".
inline std::string to_string(const ExecuteResult& result) {
  std::string text = result.exit_code ? "exit code " + std::to_string(*result.exit_code)
                     : result.signal  ? "signal " + std::to_string(*result.signal)
                                      : "no status";
  if (result.core_dumped) text += ", core dumped";
  if (result.timed_out) text += ", timed out";
  if (result.went_silent) text += ", silent for too long";
  if (result.interrupted) text += ", interrupted";
  if (result.out_of_memory) text += ", out of memory";
  if (result.out_of_processes) text += ", out of processes";
  if (result.out_dropped + result.err_dropped > 0) text += ", output cut";
  if (result.left_background) text += ", left processes in the background";
  if (result.ended_background) text += ", left processes that were ended";
  return text;
}

}  // namespace remsh
