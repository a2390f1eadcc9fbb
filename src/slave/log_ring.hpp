// LogRing: the last lines of a slave's log, in memory.
#pragma once

#include <remsh/base/log.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace remsh {

/// The last lines that a slave has logged, of level info and above, wherever its log goes. The memory is bounded: the
/// oldest lines make room for new ones. Thread-safe.
class LogRing {
 public:
  static constexpr std::size_t most_lines = 1000;
  static constexpr std::size_t most_bytes = std::size_t{256} * 1024;
  static constexpr std::size_t longest_line = std::size_t{16} * 1024;

  /// A hook that adds each record to the ring, and passes it on to `next`, if that is not empty.
  static LogHook hook(std::shared_ptr<LogRing> ring, LogHook next);

  void add(const LogRecord& record);

  /// The last `count` lines, or all if there are fewer; the oldest first.
  [[nodiscard]] std::vector<std::string> last(std::size_t count) const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;
};

}  // namespace remsh
