#include "slave/log_ring.hpp"

#include "base/log_text.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace remsh {

LogHook LogRing::hook(std::shared_ptr<LogRing> ring, LogHook next) {
  return [ring = std::move(ring), next = std::move(next)](const LogRecord& record) {
    ring->add(record);
    if (next) next(record);
  };
}

void LogRing::add(const LogRecord& record) {
  if (record.level < LogLevel::info) return;
  std::string line = log_text(record, std::chrono::system_clock::now());
  if (line.size() > longest_line) line.resize(longest_line);
  const std::lock_guard lock(mutex_);
  bytes_ += line.size();
  lines_.push_back(std::move(line));
  while (lines_.size() > most_lines || bytes_ > most_bytes) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
  }
}

std::vector<std::string> LogRing::last(std::size_t count) const {
  const std::lock_guard lock(mutex_);
  const auto from = lines_.size() - std::min(count, lines_.size());
  return {lines_.begin() + static_cast<std::ptrdiff_t>(from), lines_.end()};
}

}  // namespace remsh
