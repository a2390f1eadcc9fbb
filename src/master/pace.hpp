// Pace: how often something may happen for each name.
#pragma once

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace remsh {

/// Lets something happen for each name `burst` times at once, and from then on once in each `interval`. Has no clock of
/// its own; holds one entry for each name that has not been quiet for burst * interval. One thread at a time.
class Pace {
 public:
  struct Options {
    std::size_t burst;
    Duration interval;
  };

  struct Answer {
    Duration wait{0};          ///< not 0: it may not happen now, but after this time
    std::size_t left_out = 0;  ///< where it may: how often it might not, since it last might
  };

  explicit Pace(Options options) : options_(options) {}

  /// Whether it may happen now for this name, and if so counts it.
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

  /// The same for what may be the first of a name: that is free, and costs no memory, unless remember() came before.
  Answer ask_if_known(const std::string& name, TimePoint now) {
    return entries_.contains(name) ? ask(name, now) : Answer();
  }

  /// Counts the first of a name now, if it has no entry. A fleet of which nobody comes again then costs nothing here.
  void remember(const std::string& name, TimePoint now) {
    if (!entries_.contains(name)) ask(name, now);
  }

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  static constexpr std::size_t min_sweep = 64;

  struct Entry {
    TimePoint quiet_at = {};  // from then on it is as if it had never happened
    std::size_t left_out = 0;
  };

  const Options options_;
  std::map<std::string, Entry> entries_;
  std::size_t next_sweep_ = min_sweep;
};

}  // namespace remsh
