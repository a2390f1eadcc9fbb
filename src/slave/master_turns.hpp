// MasterTurns: which of several masters a slave tries next; pure state.
#pragma once

#include "slave/back_off.hpp"

#include <remsh/base/deadline.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace remsh {

/// The masters of a slave, tried in rounds. A round begins with the first master and goes on, without a pause, until
/// one of them was of use or all have been tried; BackOff says how long the pause between two rounds is. So a round
/// counts as one failure. A master that asked for a pause is left out of the rounds until then, as far as there are
/// others. Times are inputs. One thread at a time.
class MasterTurns {
 public:
  using Pause = BackOff::Pause;

  /// At least one.
  explicit MasterTurns(std::size_t count) : not_before_(count) {}

  /// The next master of this round; nullopt: the round is over.
  [[nodiscard]] std::optional<std::size_t> next(TimePoint now) const {
    for (std::size_t i = begin_; i < not_before_.size(); ++i) {
      if (!is_waiting(i, now)) return i;
    }
    return std::nullopt;
  }

  /// That master was tried. `asked`: for which pause it asked; 0: for none.
  void tried(std::size_t master, Visit visit, Pause asked, TimePoint now) {
    const bool was_of_use = visit == Visit::lasting || visit == Visit::brief;
    if (was_of_use || visit_ == Visit::failed) visit_ = visit;
    asked_ = std::min(asked, BackOff::max_retry);
    not_before_[master] = asked.count() > 0 ? std::optional(now + asked_) : std::nullopt;
    begin_ = was_of_use ? not_before_.size() : master + 1;
  }

  /// What BackOff needs to know of a round.
  struct Round {
    Visit visit;
    Pause asked;
  };

  /// Ends a round. The next one begins.
  Round end_round(TimePoint now) {
    const Round round{visit_, asked_in_round(now)};
    visit_ = Visit::failed;
    asked_ = Pause(0);
    begin_ = 0;
    return round;
  }

  /// Forgets for which pauses the masters asked.
  void forget_waits() { std::fill(not_before_.begin(), not_before_.end(), std::nullopt); }

 private:
  /// A single master is never left out: the pause between the rounds is the one that it asked for.
  [[nodiscard]] bool is_waiting(std::size_t master, TimePoint now) const {
    return not_before_.size() > 1 && not_before_[master] && *not_before_[master] > now;
  }

  /// The pause until the first of the masters may be tried, if all have asked for one.
  [[nodiscard]] Pause asked_in_round(TimePoint now) const {
    if (not_before_.size() == 1) return asked_;
    auto least = Pause::max();
    for (std::size_t i = 0; i < not_before_.size(); ++i) {
      if (!is_waiting(i, now)) return Pause(0);
      least = std::min(least, std::chrono::ceil<Pause>(*not_before_[i] - now));
    }
    return least;
  }

  std::vector<std::optional<TimePoint>> not_before_;
  std::size_t begin_ = 0;        // of the rest of this round
  Visit visit_ = Visit::failed;  // what counts of this round so far
  Pause asked_{0};               // of the last visit
};

}  // namespace remsh
