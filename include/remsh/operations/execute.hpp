// ExecuteOptions, ExecuteResult: options and result of execute().
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/operations/streams.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// What becomes of processes that a command leaves behind when it ends by itself.
enum class Background {
  kill,   ///< they are ended as by a timeout, before the result comes
  leave,  ///< they live on, until the connection ends
};

struct ExecuteOptions {
  std::string cwd = {};  ///< the working directory, relative to the session's directory; empty: that directory
  std::map<Bytes, std::optional<Bytes>> env = {};  ///< changes to the slave's environment; nullopt unsets a variable
  bool clear_env = false;                          ///< start from an empty environment instead

  Source in = {};   ///< standard input; by default /dev/null
  Output out = {};  ///< standard output; captured by default
  Output err = {};

  std::chrono::milliseconds timeout{0};  ///< how long the command may run, enforced by the slave; 0: no limit
  /// How long the command may write nothing to its output or error, enforced by the slave; 0: no limit. Output that is
  /// discarded is not seen, nor what a program still holds in a buffer of its own, as many do if they write to a pipe.
  /// While output waits for a callback of the caller, the command is not silent.
  std::chrono::milliseconds silence_timeout{0};
  std::chrono::milliseconds kill_after{2000};  ///< from SIGTERM to SIGKILL when the command is interrupted

  Background background = Background::kill;

  bool hide_args = false;  ///< the AuditHook gets only the program's name, because the arguments contain secrets

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

/// How a command ended, and its captured output.
struct ExecuteResult {
  std::optional<int> exit_code = {};  ///< set if the command exited
  std::optional<int> signal = {};     ///< set if a signal ended the command
  bool timed_out = false;             ///< ExecuteOptions::timeout ended the command
  bool went_silent = false;           ///< ExecuteOptions::silence_timeout ended the command
  bool interrupted = false;           ///< Command::interrupt() ended the command
  /// True if processes of the command are still running, because of Background::leave. Their further output is lost;
  /// they are ended when the connection ends. Also true if a process that does not belong to the command holds its
  /// output open.
  bool left_background = false;
  bool ended_background = false;  ///< it had left processes behind, and they were ended

  /// How long the command ran on the slave, until its first process ended; nullopt if the slave does not report it.
  std::optional<std::chrono::microseconds> ran = {};
  ResourceUse used = {};

  Bytes out = {};  ///< captured output; missing bytes are replaced by a mark: "[remsh: 42 bytes omitted]"
  Bytes err = {};
  std::uint64_t out_omitted = 0;  ///< bytes beyond the limit of capture(), omitted from the middle
  std::uint64_t err_omitted = 0;

  /// True if the command exited with 0.
  [[nodiscard]] bool ok() const noexcept { return exit_code == 0; }
};

/// How a command ended, in words: "exit code 3", "signal 9, timed out".
inline std::string to_string(const ExecuteResult& result) {
  std::string text = result.exit_code ? "exit code " + std::to_string(*result.exit_code)
                     : result.signal  ? "signal " + std::to_string(*result.signal)
                                      : "no status";
  if (result.timed_out) text += ", timed out";
  if (result.went_silent) text += ", silent for too long";
  if (result.interrupted) text += ", interrupted";
  if (result.left_background) text += ", left processes in the background";
  if (result.ended_background) text += ", left processes that were ended";
  return text;
}

}  // namespace remsh
