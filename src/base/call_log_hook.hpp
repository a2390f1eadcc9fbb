// call_log_hook(): a log message for the host program's hook.
#pragma once

#include "base/text.hpp"

#include <remsh/base/log.hpp>

#include <string>

namespace remsh {

/// Logs about `peer`, a name or an address; empty: about the component itself. Both texts may contain what strangers
/// have sent. A hook that throws must not end the io thread, so that is ignored.
inline void call_log_hook(const LogHook& hook, LogLevel level, const char* component, const std::string& peer,
                          const std::string& message) {
  if (!hook) return;
  try {
    hook(LogRecord{level, component, without_controls(peer), without_controls(message)});
  } catch (...) {
    return;
  }
}

}  // namespace remsh
