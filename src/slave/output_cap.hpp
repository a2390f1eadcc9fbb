// OutputCap: how much of one output of a command is sent.
#pragma once

#include <remsh/base/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace remsh {

/// Lets the first bytes and lines of an output pass. What follows is dropped and counted, and a line tells of it. One
/// thread at a time.
class OutputCap {
 public:
  OutputCap(std::optional<std::uint64_t> bytes, std::optional<std::uint64_t> lines) : bytes_(bytes), lines_(lines) {}

  /// How many of the next bytes pass.
  std::size_t admit(BytesView bytes) {
    std::size_t count = is_closed_ ? 0 : bytes.size();
    if (!is_closed_ && bytes_) count = static_cast<std::size_t>(std::min<std::uint64_t>(count, *bytes_ - sent_));
    if (!is_closed_ && lines_) count = size_of_lines(bytes.substr(0, count));
    sent_ += count;
    dropped_ += bytes.size() - count;
    if (count > 0) is_in_line_ = bytes[count - 1] != '\n';
    if (count < bytes.size() && !is_closed_) close();
    return count;
  }

  /// The line that must be sent after what has passed, or the rest of it; empty if there is none.
  [[nodiscard]] BytesView mark() const noexcept { return mark_; }
  void mark_sent(std::size_t bytes) { mark_.erase(0, bytes); }

  /// Whether nothing passes any more.
  [[nodiscard]] bool is_closed() const noexcept { return is_closed_; }

  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  /// The size of the lines that pass, and counts them.
  std::size_t size_of_lines(BytesView bytes) {
    std::size_t end = 0;
    while (end < bytes.size() && sent_lines_ < *lines_) {
      const std::size_t newline = bytes.find('\n', end);
      if (newline == BytesView::npos) return bytes.size();
      end = newline + 1;
      ++sent_lines_;
    }
    return end;
  }

  void close() {
    is_closed_ = true;
    const bool is_full = bytes_ && sent_ == *bytes_;
    mark_ = std::string(is_in_line_ ? "\n" : "") + "[remsh: the rest of the output, beyond " +
            std::to_string(is_full ? *bytes_ : *lines_) + (is_full ? " bytes" : " lines") + ", is dropped]\n";
  }

  const std::optional<std::uint64_t> bytes_;
  const std::optional<std::uint64_t> lines_;
  std::uint64_t sent_ = 0;
  std::uint64_t sent_lines_ = 0;
  std::uint64_t dropped_ = 0;
  bool is_in_line_ = false;
  bool is_closed_ = false;
  Bytes mark_;
};

}  // namespace remsh
