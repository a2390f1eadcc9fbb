// Pace: how often something may happen for each name.
#pragma once

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace remsh {

/// Allows something `burst` times at once for each name, and from then on once in each `interval`. Has no clock of its
/// own. Holds one entry for each name that has not been quiet for burst * interval. One thread at a time.
class Pace {
 public:
  struct Options {
    std::size_t burst;
    Duration interval;
  };

  struct Answer {
    Duration wait{0};          ///< 0 if it may happen now; otherwise the time until it may
    std::size_t left_out = 0;  ///< if it may happen: how often it was not allowed since it last was
  };

  explicit Pace(Options options) : options_(options) {}

  /// Whether it may happen now for this name; counts it if so.
  Answer ask(const std::string& name, TimePoint now) {
    if (entries_.size() >= next_sweep_) {
      std::erase_if(entries_, [now](const auto& entry) { return entry.second.quiet_at <= now; });
      next_sweep_ = std::max(min_sweep, 2 * entries_.size());
    }
    Entry& entry = entries_[name];
    const TimePoint quiet_at = std::max(entry.quiet_at, now) + options_.interval;
    const Duration excess = quiet_at - now - options_.interval * static_cast<Duration::rep>(options_.burst);
    if (excess > Duration::zero()) {
      ++entry.left_out;
      return {.wait = excess};
    }
    entry.quiet_at = quiet_at;
    return {.left_out = std::exchange(entry.left_out, 0)};
  }

  /// The same, but allows the first time of a name without counting it, which costs no memory. remember() counts it.
  Answer ask_if_known(const std::string& name, TimePoint now) {
    return entries_.contains(name) ? ask(name, now) : Answer();
  }

  /// Counts the first time of a name now, if it has no entry. So slaves that never come again cost no memory here.
  void remember(const std::string& name, TimePoint now) {
    if (!entries_.contains(name)) ask(name, now);
  }

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  static constexpr std::size_t min_sweep = 64;

  struct Entry {
    TimePoint quiet_at = {};  // after this time the entry has no effect
    std::size_t left_out = 0;
  };

  const Options options_;
  std::map<std::string, Entry> entries_;
  std::size_t next_sweep_ = min_sweep;
};

}  // namespace remsh
