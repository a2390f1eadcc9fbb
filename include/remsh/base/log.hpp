// LogHook: the one way in which the library speaks.
#pragma once

#include <remsh/base/export.hpp>

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

namespace remsh {

enum class LogLevel { debug, info, warning, error };

/// The name of a level: "warning".
constexpr std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "?";
}

/// One thing worth saying. What came from a peer is escaped already; there is no newline in it.
struct LogRecord {
  LogLevel level = LogLevel::info;
  std::string component;  ///< who says it: "listener", "slave"
  std::string peer;       ///< about whom: a slave's name or an address; may be empty
  std::string message;    ///< one sentence
};

/// Called from any of the library's threads, also from its io thread: must be thread-safe, must not block for long
/// and must not call the library back. Empty: nothing is said.
using LogHook = std::function<void(const LogRecord&)>;

/// A hook that writes a line for each record of a level from `from` on: "2026-11-29T09:30:00+0100 warning listener:
/// w1: the slave of this name does not answer". The stream must outlive all that has the hook; several hooks may have
/// one stream.
///
///     .log = remsh::log_to(std::clog)
REMSH_API LogHook log_to(std::ostream& stream, LogLevel from = LogLevel::info);

}  // namespace remsh
