// Command options, OutputCallback, ExecuteResult: what execute() takes and gives.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <variant>

namespace remsh {

/// Given each piece of output as it comes, in the thread that made the call. The view lives until it returns. It may
/// be slow (only this command is slowed down), may call the library, and may throw (the command is cancelled and the
/// exception comes out of the call).
using OutputCallback = std::function<void(BytesView)>;

/// Asked for bytes to send: fills the buffer, at least in part, and gives how many; 0 is the end. Called in the thread
/// that made the call, only when there is room for more.
using InputCallback = std::function<std::size_t(std::span<char>)>;

/// What a command reads: nothing, bytes, or what a callback gives.
using Input = std::variant<std::monostate, Bytes, InputCallback>;

struct ExecuteOptions {
  std::string cwd = {};                            ///< empty: the session's directory; relative to that
  std::map<Bytes, std::optional<Bytes>> env = {};  ///< changes to the slave's environment; nullopt: unset
  bool clear_env = false;                          ///< start from an empty environment instead

  Input in = {};  ///< standard input; none: /dev/null

  OutputCallback stdout_cb = {};  ///< gets the output live; else it is captured
  OutputCallback stderr_cb = {};
  bool merge_stderr = false;  ///< stderr goes where stdout goes, in the order written
  bool discard_stdout = false;
  bool discard_stderr = false;
  std::size_t capture_limit = 64 * 1024 * 1024;  ///< captured bytes per stream; beyond: the call ends with too_large

  std::chrono::milliseconds timeout{0};        ///< how long the command may run, enforced by the slave; 0: no limit
  std::chrono::milliseconds kill_after{2000};  ///< from SIGTERM to SIGKILL when it is interrupted

  bool hide_args = false;  ///< an AuditHook is told the program alone, for arguments that hold secrets

  Deadline deadline = {};  ///< how long the caller waits
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

/// How a command ended, and what it said where that was captured.
struct ExecuteResult {
  std::optional<int> exit_code = {};  ///< set where it exited by itself
  std::optional<int> signal = {};     ///< set where a signal ended it
  bool timed_out = false;             ///< ExecuteOptions::timeout ended it
  /// Processes of it live on. What they write later is lost; they are ended when the connection ends, not before.
  bool left_background = false;
  Bytes out = {};
  Bytes err = {};

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
