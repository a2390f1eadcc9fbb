// LogHook: the one way in which the library speaks.
#pragma once

#include <functional>
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

}  // namespace remsh
