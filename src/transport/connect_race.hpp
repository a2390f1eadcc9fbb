// ConnectRace: when to try which address of a host, by RFC 8305 ("Happy Eyeballs"); pure state.
#pragma once

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

namespace remsh {

/// The order of the attempts to reach one host, and when each of them begins. The families alternate, beginning with
/// that of the first address. Each attempt has a head start before the next one begins in parallel; if an attempt
/// fails, the next one begins at once. Times are inputs. One thread at a time.
///
///     ConnectRace race(families);
///     while (const auto address = race.begin(now)) ... connect to it ...;
///     ... wait until race.next_at(), or until an attempt has ended; race.failed() if it was in vain ...
class ConnectRace {
 public:
  static constexpr Duration head_start = std::chrono::milliseconds(250);

  /// The families of the addresses (AF_INET, AF_INET6), in the order in which the system prefers them.
  explicit ConnectRace(const std::vector<int>& families) {
    std::vector<std::size_t> first;
    std::vector<std::size_t> other;
    for (std::size_t i = 0; i < families.size(); ++i) (families[i] == families[0] ? first : other).push_back(i);
    for (std::size_t i = 0; i < families.size(); ++i) {
      if (i < first.size()) order_.push_back(first[i]);
      if (i < other.size()) order_.push_back(other[i]);
    }
  }

  /// The address (its index in the list) to try now; nullopt if there is none.
  std::optional<std::size_t> begin(TimePoint now) {
    if (begun_ == order_.size() || now < next_at_) return std::nullopt;
    next_at_ = now + head_start;
    return order_[begun_++];
  }

  /// When begin() returns the next address; nullopt if all attempts have begun.
  [[nodiscard]] std::optional<TimePoint> next_at() const {
    return begun_ == order_.size() ? std::nullopt : std::optional(next_at_);
  }

  /// Reports that one of the started attempts has failed.
  void failed() {
    ++failed_;
    next_at_ = TimePoint::min();
  }

  /// True if all attempts have failed.
  [[nodiscard]] bool is_lost() const { return failed_ == order_.size(); }

 private:
  std::vector<std::size_t> order_;
  std::size_t begun_ = 0;
  std::size_t failed_ = 0;
  TimePoint next_at_ = TimePoint::min();
};

}  // namespace remsh
