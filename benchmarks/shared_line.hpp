// SharedLine: many blocked callers on one bare connection, the best design that is known for it.
#pragma once

#include "bare_line.hpp"

#include <remsh/base/bytes.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

namespace remsh::bench {

/// Leader and followers: a caller that finds nobody reading reads for all, and the others sleep. A caller that finds
/// nobody writing yields the processor once, so that others can append their requests, and then writes for all. The
/// owners of all answers of one read are woken by one FUTEX_WAKE_BITSET. Thread-safe; each caller has a number of its
/// own and makes one call at a time.
///
/// The other side answers in the order of the requests (LimitPeer::start_stats()).
class SharedLine {
 public:
  static constexpr std::size_t max_callers = 32;  ///< one bit of a futex each

  SharedLine(BareLine line, Bytes request, std::size_t answer);

  /// Sends the request and returns when the answer is there.
  void call(std::size_t caller);

 private:
  void send(std::unique_lock<std::mutex>& lock, std::size_t caller);
  void lead(std::unique_lock<std::mutex>& lock, std::size_t caller);
  void follow(std::unique_lock<std::mutex>& lock, std::size_t caller);
  std::uint32_t take_answers(std::size_t reader);
  [[nodiscard]] std::uint32_t any_follower() const;
  void wake(std::unique_lock<std::mutex>& lock, std::uint32_t callers);

  BareLine line_;
  const Bytes request_;
  const std::size_t answer_;
  std::vector<char> buffer_;  // of the reader
  std::size_t have_ = 0;      // of the buffer, the beginning of an answer
  std::mutex mutex_;
  std::deque<std::size_t> asked_;  // whose answers come next
  Bytes unsent_;
  bool is_written_ = false;
  bool is_read_ = false;
  std::array<bool, max_callers> answered_{};
  std::array<bool, max_callers> asleep_{};
  std::atomic<std::uint32_t> wakes_ = 0;  // the futex
};

}  // namespace remsh::bench
