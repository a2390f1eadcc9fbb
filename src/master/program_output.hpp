// ProgramOutput: the output of a program that we started, as lines for a log.
#pragma once

#include "base/text.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

/// Splits the output of a program into lines for a log: without control characters, cut at 512 bytes, and at most 200
/// in 10 s. Lines beyond that are counted and dropped, and the log is told. Keeps the last lines for an error. Pure
/// state: no I/O and no clock. One thread at a time.
class ProgramOutput {
 public:
  static constexpr std::size_t longest_line = 512;
  static constexpr std::size_t kept_lines = 5;
  static constexpr std::size_t lines_per_interval = 200;
  static constexpr std::chrono::seconds interval{10};

  void feed(BytesView bytes, TimePoint now) {
    for (const char c : bytes) {
      if (c == '\n' || c == '\r') {
        end_line(now);
      } else if (line_.size() < longest_line) {
        line_ += c;
      }
    }
  }

  /// The output has ended: text without an end of line is a line as well.
  void finish(TimePoint now) {
    end_line(now);
    tell_dropped();
  }

  /// The messages for the log since the last call.
  [[nodiscard]] std::vector<std::string> take_messages() { return std::exchange(messages_, {}); }

  /// The last lines, joined; empty if there were none.
  [[nodiscard]] std::string last_lines() const {
    std::string text;
    for (const std::string& line : last_) text += (text.empty() ? "" : "; ") + line;
    return text;
  }

 private:
  void end_line(TimePoint now) {
    if (line_.empty()) return;
    std::string line = without_controls(std::exchange(line_, {}));
    if (now >= interval_end_) {
      tell_dropped();
      interval_end_ = now + interval;
      told_ = 0;
    }
    if (told_ < lines_per_interval) {
      ++told_;
      messages_.push_back("its program says: " + line);
    } else if (dropped_++ == 0) {
      messages_.push_back("its program says more than " + std::to_string(lines_per_interval) + " lines in " +
                          std::to_string(interval.count()) + " s: the next ones are not logged");
    }
    last_.push_back(std::move(line));
    if (last_.size() > kept_lines) last_.pop_front();
  }

  void tell_dropped() {
    if (dropped_ == 0) return;
    messages_.push_back(std::to_string(std::exchange(dropped_, 0)) + " lines of its program were not logged");
  }

  std::string line_;
  std::vector<std::string> messages_;
  std::deque<std::string> last_;
  TimePoint interval_end_ = TimePoint::min();
  std::size_t told_ = 0;
  std::size_t dropped_ = 0;
};

}  // namespace remsh
