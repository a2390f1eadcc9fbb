// SlaveNotices: notifies the subscribers of a collection of changes to its slaves.
#pragma once

#include <remsh/master/slave_notice.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace remsh {

/// The subscriptions of one collection. Callbacks run on service threads of their own, which start with the first
/// subscription. Those of one subscription run in order, one at a time; those of different ones run independently, so
/// that a callback that blocks delays no other. Thread-safe.
class SlaveNotices : public std::enable_shared_from_this<SlaveNotices> {
 public:
  using Callback = std::function<void(const SlaveNotice&)>;

  /// How many notices may wait for a callback. Further ones are dropped, and counted in SlaveNotice::missed.
  static constexpr std::size_t most_queued = 65'536;

  SlaveNotices();
  SlaveNotices(const SlaveNotices&) = delete;
  SlaveNotices& operator=(const SlaveNotices&) = delete;
  ~SlaveNotices();

  SlaveSubscription subscribe(Callback callback);

  [[nodiscard]] bool has_subscribers() const noexcept { return has_subscribers_.load(std::memory_order_relaxed); }

  /// Queues the notice that `make` returns, if there are subscribers, and sets its name if it has a slave. Notices are
  /// delivered in the order of these calls, so the caller must hold the mutex of the pool. It must keep the slave
  /// alive.
  template <class Make>
  void publish(const Make& make) noexcept {
    if (!has_subscribers()) return;
    try {
      SlaveNotice notice = make();
      if (notice.slave) notice.name = notice.slave->name();
      queue(notice);
    } catch (...) {  // out of memory
      note_missed();
    }
  }

  /// Ends all subscriptions, after the callbacks of all published notices have returned. Not on one of its own threads.
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
