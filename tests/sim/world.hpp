// World: virtual time, what is to happen when, and chance, all from one seed.
#pragma once

#include "base/clock.hpp"

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace remsh::sim {

/// An invariant does not hold.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Numbers that are the same on every machine for the same seed.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }
  std::uint64_t between(std::uint64_t least, std::uint64_t most) { return least + below(most - least + 1); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  /// Up to `most`, small ones more often.
  std::size_t size(std::size_t most) { return static_cast<std::size_t>(below((most >> below(12)) + 1)); }
  Duration up_to(Duration most) {
    return most <= Duration::zero()
               ? Duration::zero()
               : Duration(static_cast<Duration::rep>(below(static_cast<std::uint64_t>(most.count()))));
  }

 private:
  std::mt19937_64 engine_;
};

/// The time stands still but for step(), which goes to what is next. One thread.
class World final : public Clock {
 public:
  explicit World(std::uint64_t seed, bool is_loud = false) : chance(seed), is_loud_(is_loud) {}

  [[nodiscard]] TimePoint now() const noexcept override { return now_; }

  void at(TimePoint when, std::function<void()> what) { events_.emplace(std::max(when, now_), std::move(what)); }
  void after(Duration wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }
  /// What was to be done at the same time before goes first.
  void soon(std::function<void()> what) { at(now_, std::move(what)); }

  /// Does the next thing. False if there is none.
  bool step() {
    if (events_.empty()) return false;
    auto event = events_.extract(events_.begin());
    now_ = event.key();
    event.mapped()();
    return true;
  }

  /// `parts` are the sentence about what does not hold, put together only then.
  template <class... Parts>
  void expect(bool holds, const Parts&... parts) const {
    if (holds) return;
    std::ostringstream sentence;
    (sentence << ... << parts);
    throw Broken(time() + sentence.str());
  }

  /// For the history of a seed that fails.
  void note(std::string what) {
    what = time() + what;
    if (is_loud_) std::fprintf(stderr, "%s\n", what.c_str());
    if (history_.size() == 30) history_.pop_front();
    history_.push_back(std::move(what));
  }
  [[nodiscard]] std::string history() const {
    std::string all;
    for (const std::string& line : history_) all += "  " + line + '\n';
    return all;
  }

  Chance chance;
  static constexpr TimePoint begin{std::chrono::hours(1)};

 private:
  [[nodiscard]] std::string time() const {
    using std::chrono::microseconds;
    return std::to_string(std::chrono::duration_cast<microseconds>(now_ - begin).count()) + "us: ";
  }

  TimePoint now_ = begin;
  std::multimap<TimePoint, std::function<void()>> events_;
  std::deque<std::string> history_;
  const bool is_loud_;
};

}  // namespace remsh::sim
