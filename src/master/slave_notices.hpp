// SlaveNotices: tells the subscribers of a collection what becomes of its slaves.
#pragma once

#include <remsh/master/slave_notice.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace remsh {

/// The subscriptions of one collection. Callbacks are called on service threads of its own, which begin with the first
/// subscription: those of one subscription in order, one at a time; those of different ones independently, so that a
/// callback that blocks delays no other. Thread-safe.
class SlaveNotices : public std::enable_shared_from_this<SlaveNotices> {
 public:
  using Callback = std::function<void(const SlaveNotice&)>;

  /// How many notices may wait for a callback. Beyond that they are counted in SlaveNotice::missed and dropped.
  static constexpr std::size_t most_queued = 65'536;

  SlaveNotices();
  SlaveNotices(const SlaveNotices&) = delete;
  SlaveNotices& operator=(const SlaveNotices&) = delete;
  ~SlaveNotices();

  SlaveSubscription subscribe(Callback callback);

  [[nodiscard]] bool has_subscribers() const noexcept { return has_subscribers_.load(std::memory_order_relaxed); }

  /// Queues the notice that `make` returns, if there are subscribers. The order of the calls is the order of the
  /// notices, so the caller holds the mutex of the pool. The caller keeps the slave alive.
  template <class Make>
  void publish(const Make& make) noexcept {
    if (!has_subscribers()) return;
    try {
      queue(make());
    } catch (...) {  // out of memory
      note_missed();
    }
  }

  /// Ends all subscriptions when the callbacks of what was published have returned. Not on one of its threads.
  void close();

  /// Whether this thread is in a callback of this collection.
  [[nodiscard]] bool is_this_thread() const;

 private:
  friend struct SlaveSubscription::State;
  struct Threads;
  using State = SlaveSubscription::State;

  void queue(const SlaveNotice& notice);
  void note_missed() noexcept;
  void remove(const State& subscription) noexcept;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<State>> subscriptions_;
  std::unique_ptr<Threads> threads_;
  std::atomic<bool> has_subscribers_ = false;
};

}  // namespace remsh
