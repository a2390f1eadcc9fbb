// AuditRecord, AuditHook: a record of each operation and its end.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace remsh {

/// One operation of a Slave, recorded after its end. A record never contains environments, the data that was read or
/// written, the arguments of call(), or what is in ExecuteOptions::secrets.
struct AuditRecord {
  std::chrono::system_clock::time_point start{};
  std::chrono::nanoseconds duration{0};

  std::string slave = {};             ///< the name of the slave
  std::string key_id = {};            ///< of the key or password that the slave has proven; empty: none
  std::string operation = {};         ///< the name of the function: "execute"
  std::vector<Bytes> arguments = {};  ///< the command, the paths (local ones too), or the name of an own operation
  Bytes cwd = {};            ///< the directory of a command or an own operation, as requested; absolute in a workspace
  std::string tag = {};      ///< the tag in the caller's options
  std::string builder = {};  ///< the Builder that it was called on; empty if there is none

  /// Why there was no result; nullopt if the operation succeeded. It is `cancelled` if the caller left before the end,
  /// or if one of its callbacks threw.
  std::optional<Errc> error = {};
  std::error_code os = {};   ///< as Error::os()
  std::string message = {};  ///< as Error::message()

  std::optional<int> exit_code = {};        ///< the exit code of the command; a nonzero one is not an error
  std::optional<int> signal = {};           ///< the signal that ended the command
  bool timed_out = false;                   ///< as ExecuteResult::timed_out
  bool went_silent = false;                 ///< as ExecuteResult::went_silent
  bool interrupted = false;                 ///< as ExecuteResult::interrupted
  std::optional<std::uint64_t> bytes = {};  ///< the bytes that a transfer moved, even if it failed
};

/// Called once for each operation that was begun, when it ends. It runs in the thread that ends the operation: the
/// caller's, or a thread of the library for the ping that checks a slave whose name is claimed again. It must therefore
/// be thread-safe, and a caller waits for it as part of its operation. No lock is held. Its exceptions are dropped. It
/// is not called for operations that were refused before anything was sent. Everything that it refers to must live as
/// long as the slaves and operations of the listener, which may outlive the listener.
using AuditHook = std::function<void(const AuditRecord&)>;

/// One line of JSON, without the newline. Empty members are left out.
///
///     {"start":"2026-11-21T10:02:22.017302Z","seconds":0.041250,"slave":"w1","key_id":"4962dc04",
///      "operation":"execute","arguments":["make","-j8"],"cwd":"project","tag":"build 7","end":"done","exit_code":0}
///
/// "end" is "done" or the name of the error's code. Bytes that are not valid UTF-8 become U+FFFD.
REMSH_API std::string to_json_line(const AuditRecord& record);

}  // namespace remsh
