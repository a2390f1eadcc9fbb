// SlaveLog: writes to the log hook of a slave's owner.
#pragma once

#include "base/text.hpp"

#include <remsh/base/log.hpp>

#include <string>
#include <utility>

namespace remsh {

/// Writes to the log hook of a slave, if it has one. Removes control characters that peers have sent. As thread-safe as
/// the hook.
class SlaveLog {
 public:
  explicit SlaveLog(LogHook hook) : hook_(std::move(hook)) {}

  /// `peer`: the master that the message is about; empty: none.
  void write(LogLevel level, const std::string& peer, const std::string& message) const {
    if (hook_) hook_(LogRecord{level, "slave", without_controls(peer), without_controls(message)});
  }

 private:
  const LogHook hook_;
};

}  // namespace remsh
