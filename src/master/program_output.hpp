// ProgramOutput: the output of a program that we started, as lines for a log.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

/// Splits the output of a program into lines for a log: without control characters, cut at 512 bytes, and at most 200
/// in 10 s. Further lines are dropped, and a log message says how many. Keeps the last lines for an error message. Pure
/// state: no I/O and no clock. One thread at a time.
class ProgramOutput {
 public:
  static constexpr std::size_t longest_line = 512;
  static constexpr std::size_t kept_lines = 5;
  static constexpr std::size_t lines_per_interval = 200;
  static constexpr std::chrono::seconds interval{10};

  void feed(BytesView bytes, TimePoint now);

  /// The output has ended: an unfinished line counts as a line.
  void finish(TimePoint now);

  /// The messages for the log since the last call.
  [[nodiscard]] std::vector<std::string> take_messages() { return std::exchange(messages_, {}); }

  /// The last lines, joined; empty if there were none.
  [[nodiscard]] std::string last_lines() const;

 private:
  void end_line(TimePoint now);
  void tell_dropped();

  std::string line_;
  std::vector<std::string> messages_;
  std::deque<std::string> last_;
  TimePoint interval_end_ = TimePoint::min();
  std::size_t told_ = 0;
  std::size_t dropped_ = 0;
};

}  // namespace remsh
