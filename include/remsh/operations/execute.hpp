// ExecuteOptions, ExecuteResult: what execute() takes and gives.
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

struct ExecuteOptions {
  std::string cwd = {};                            ///< empty: the session's directory; relative to that
  std::map<Bytes, std::optional<Bytes>> env = {};  ///< changes to the slave's environment; nullopt: unset
  bool clear_env = false;                          ///< start from an empty environment instead

  Source in = {};   ///< standard input; none: /dev/null
  Output out = {};  ///< standard output: captured, unless this says otherwise
  Output err = {};

  std::chrono::milliseconds timeout{0};        ///< how long the command may run, enforced by the slave; 0: no limit
  std::chrono::milliseconds kill_after{2000};  ///< from SIGTERM to SIGKILL when it is interrupted

  bool hide_args = false;  ///< an AuditHook is told the program alone, for arguments that hold secrets

  CallDeadline deadline = {};  ///< how long the caller waits
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

/// What the first process of a command has used, together with those of its descendants that were waited for; nullopt
/// where the slave does not say it.
struct ResourceUse {
  std::optional<std::chrono::microseconds> user_time = {};    ///< of CPUs, in programs
  std::optional<std::chrono::microseconds> system_time = {};  ///< of CPUs, in the operating system
  std::optional<std::uint64_t> peak_memory = {};              ///< bytes: the largest resident set of one process

  friend bool operator==(const ResourceUse&, const ResourceUse&) = default;
};

/// How a command ended, and what it said where that was captured.
struct ExecuteResult {
  std::optional<int> exit_code = {};  ///< set where it exited by itself
  std::optional<int> signal = {};     ///< set where a signal ended it
  bool timed_out = false;             ///< ExecuteOptions::timeout ended it
  /// Processes of it live on. What they write later is lost; they are ended when the connection ends, not before.
  bool left_background = false;

  /// How long it ran on the slave, until its first process ended; nullopt where the slave does not say it.
  std::optional<std::chrono::microseconds> ran = {};
  ResourceUse used = {};

  Bytes out = {};  ///< what was captured; if bytes are missing, a mark is in their place: "[remsh: 42 bytes omitted]"
  Bytes err = {};
  std::uint64_t out_omitted = 0;  ///< bytes beyond the limit of capture(), from the middle
  std::uint64_t err_omitted = 0;

  /// It exited with 0.
  [[nodiscard]] bool ok() const noexcept { return exit_code == 0; }
};

/// How a command ended, in words: "exit code 3", "signal 9, timed out".
inline std::string to_string(const ExecuteResult& result) {
  std::string text = result.exit_code ? "exit code " + std::to_string(*result.exit_code)
                     : result.signal  ? "signal " + std::to_string(*result.signal)
                                      : "no status";
  if (result.timed_out) text += ", timed out";
  if (result.left_background) text += ", left processes in the background";
  return text;
}

}  // namespace remsh
