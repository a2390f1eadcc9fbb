// AuditRecord, AuditHook: who ran what, when and where, and how it ended.
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

/// One operation of a Slave, after its end. Never in it: environments, what was read or written, the arguments of
/// call(), and with ExecuteOptions::hide_args those of a command.
struct AuditRecord {
  std::chrono::system_clock::time_point start{};
  std::chrono::nanoseconds duration{0};

  std::string slave = {};             ///< its name
  std::string key_id = {};            ///< the id of the key that it has proven; empty: none
  std::string operation = {};         ///< as the function is called: "execute"
  std::vector<Bytes> arguments = {};  ///< the command, the paths (local ones too), or the name of an own operation
  Bytes cwd = {};                     ///< of a command or an own operation, as asked for; absolute in a workspace
  std::string tag = {};               ///< as the caller gave it in the options

  /// Why there was no result; none: it was done. A caller who left is `cancelled`, and so is one whose callback threw.
  std::optional<Errc> error = {};
  std::error_code os = {};   ///< as Error::os()
  std::string message = {};  ///< as Error::message()

  std::optional<int> exit_code = {};        ///< of a command that was done; one that failed was done too
  std::optional<int> signal = {};           ///< of one that a signal ended
  bool timed_out = false;                   ///< as ExecuteResult says it
  std::optional<std::uint64_t> bytes = {};  ///< that a transfer moved, whatever its end
};

/// Told once of every operation that was begun, at its end, in the thread that ends it: the caller's, and for the ping
/// that asks a slave whose name comes again, one of the library's. So it must be thread-safe, and who waits for the
/// operation waits for it too. No lock is held; what it throws is dropped. What was refused before anything was sent is
/// not told. What it refers to must live as long as slaves and operations of the listener do, which may outlive it.
using AuditHook = std::function<void(const AuditRecord&)>;

/// One line of JSON, without the newline: an object, in which what is empty is left out.
///
///     {"start":"2026-11-21T10:02:22.017302Z","seconds":0.041250,"slave":"w1","key_id":"4962dc04",
///      "operation":"execute","arguments":["make","-j8"],"cwd":"project","tag":"build 7","end":"done","exit_code":0}
///
/// "end" is "done" or the name of the error's code. Bytes that are no UTF-8 become U+FFFD.
REMSH_API std::string to_json_line(const AuditRecord& record);

}  // namespace remsh
