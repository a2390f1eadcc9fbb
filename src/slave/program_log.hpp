// ProgramLog: the log of a slave program, on standard error or in a file that is rotated.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/log.hpp>
#include <remsh/connection/trace.hpp>
#include <remsh/slave/embedded.hpp>

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace remsh {

/// The form of a line.
enum class LogForm : std::uint8_t {
  text,     ///< "2026-11-29T09:30:00+0100 remsh-slave[42] info: unix:/run/m: registered"
  journal,  ///< "<6>unix:/run/m: registered": journald knows the rest
  json,     ///< {"time":"2026-11-29T08:30:00Z","level":"info",...}
};

/// A record as a line, with the newline.
std::string log_line(LogForm form, const LogRecord& record, std::chrono::system_clock::time_point now, pid_t process);

/// The priority of a level that journald and syslog know: 6 for info.
int priority_of(LogLevel level) noexcept;

/// Whether $JOURNAL_STREAM, in this form, says that this descriptor leads to journald.
bool is_journal(int descriptor, const char* journal_stream) noexcept;

/// Writes the log. Each line is one write, so that lines of several processes do not mix. A line that cannot be written
/// is dropped; the next one that can be says how many were. Thread-safe.
class ProgramLog {
 public:
  /// Opens the file, if the options name one.
  static Result<std::shared_ptr<ProgramLog>> open(const SlaveProgramOptions& options);

  explicit ProgramLog(const SlaveProgramOptions& options);  ///< use open()
  ProgramLog(const ProgramLog&) = delete;
  ProgramLog& operator=(const ProgramLog&) = delete;

  /// Writes a record of the level of the log or above.
  void write(const LogRecord& record);

  /// Writes a box, whatever the level.
  void write(const TraceRecord& record);

  void set_level(LogLevel level) noexcept { level_ = level; }

  /// Opens the file again, which may have been renamed by a program that rotates logs. If that fails, goes on with the
  /// one that is open.
  Result<void> reopen();

 private:
  void put(const std::string& line);
  void rotate();
  Result<UniqueFd> open_file() const;

  const std::string path_;  // empty: standard error
  const std::uint64_t most_bytes_;
  const unsigned kept_;
  const LogForm form_;
  const bool is_json_in_journal_;
  std::atomic<LogLevel> level_;

  std::mutex mutex_;  // guards the following members
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace remsh
