// LogHook: the function that gets the library's log messages.
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

/// One log message. Text from a peer is already escaped; there is no newline in it.
struct LogRecord {
  LogLevel level = LogLevel::info;
  std::string component;  ///< the part of the library: "listener", "slave"
  std::string peer;       ///< the slave's name or the address concerned; may be empty
  std::string message;    ///< one sentence
};

/// Called from any of the library's threads, including its io thread: it must be thread-safe, must not block for long
/// and must not call the library. An empty hook disables logging.
using LogHook = std::function<void(const LogRecord&)>;

/// A hook that writes one line for each record of level `from` or above: "2026-11-29T09:30:00+0100 warning listener:
/// w1: the slave of this name does not answer". The stream must outlive every user of the hook. Several hooks may share
/// one stream.
///
///     .log = remsh::log_to(std::clog)
REMSH_API LogHook log_to(std::ostream& stream, LogLevel from = LogLevel::info);

}  // namespace remsh
