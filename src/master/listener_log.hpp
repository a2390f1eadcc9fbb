// ListenerLog: what a listener logs, at a bounded rate.
#pragma once

#include "base/clock.hpp"
#include "master/pace.hpp"
#include "master/proof.hpp"
#include "transport/loop.hpp"

#include <remsh/base/log.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace remsh {

/// What a listener sends to the log hook of its options. However often slaves come and go, they cause a bounded number
/// of lines. Thread-safe.
class ListenerLog {
 public:
  ListenerLog(LogHook hook, std::shared_ptr<Loop> loop) : hook_(std::move(hook)), loop_(std::move(loop)) {}

  /// Logs about `peer`, a name or an address; empty: about the listener. Both texts may contain what strangers have
  /// sent.
  void log(LogLevel level, const std::string& peer, const std::string& message) const;

  /// Logs about one slave. The number of lines is limited for each name, and for all slaves without a key together; the
  /// next line says how many were left out. `is_first`: this may be the first line about a slave that then stays.
  void log_slave(LogLevel level, const std::string& name, Proof proof, std::string message, bool is_first);

 private:
  const LogHook hook_;
  const std::shared_ptr<Loop> loop_;

  std::mutex mutex_;
  Pace lines_of_names_{{.burst = 16, .interval = std::chrono::seconds(1)}};
  Pace lines_of_keyless_{{.burst = 16384, .interval = std::chrono::milliseconds(10)}};
};

}  // namespace remsh
