// PeerGroup: what the peers of one owner share: options, and the timers of their liveness and of their rests.
#pragma once

#include "rpc/engine.hpp"
#include "rpc/served_call.hpp"
#include "session/session.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace remsh::rpc {

class Peer;

/// The options and the loop of many peers, and the times at which each of them is to be looked at. A peer that is idle
/// is looked at when its session asks for it, and seldom otherwise; many that are due at once, a part at a time, so
/// that they do not delay the loop's other work. Thread-safe.
class PeerGroup : public std::enable_shared_from_this<PeerGroup> {
 public:
  /// The default of on_cut: gives the session up.
  static void give_up_at_once(Peer& peer);

  struct Options {
    Engine::Options engine = {};
    Session::Options session = {};                                       // its limits follow from engine.serves
    std::function<void(const std::shared_ptr<ServedCall>&)> serve = {};  // called on a worker; must not throw
    std::size_t threads = 64;        // operations of one peer that run at once, not counting long ones
    std::size_t max_threads = 1024;  // the same, counting long ones
    Duration long_operation = std::chrono::seconds(1);  // after this time an operation is long: stuck, or waiting

    /// Called on the loop, at most once per peer, when its connection is cut. The session is not over: this function
    /// decides what becomes of it, and it stays as it is until give_up() or close() is called.
    std::function<void(Peer&)> on_cut = give_up_at_once;

    /// Called on the loop, at most once per peer, when the other side has announced that it will end.
    std::function<void(Peer&)> on_draining = {};

    /// Called by any thread, with no lock held, when a ping of the other side was answered.
    std::function<void()> on_ping = {};

    /// Called on the loop, once per peer, when its session is over.
    std::function<void(Peer&)> on_end = {};
  };

  PeerGroup(std::shared_ptr<Loop> loop, Options options);
  PeerGroup(const PeerGroup&) = delete;
  PeerGroup& operator=(const PeerGroup&) = delete;
  virtual ~PeerGroup();

  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }

 private:
  friend class Peer;

  /// A call of Peer::look() that is due.
  struct Look {
    TimePoint at;
    std::weak_ptr<Peer> peer;
  };

  /// Has the loop call Peer::look() of a peer; only the last call for this peer counts. Under its mutex.
  void look_at(TimePoint at, std::weak_ptr<Peer> peer);

  /// Called by the destructor of a peer, whose memory an entry in the list would keep.
  void gone();

  void look(TimePoint timer);
  void set_timer();  // these two under the mutex, or in the destructor
  void cancel_timer();

  /// Calls on_rest_over() of the peer within a slice. One timer for all: a busy master has hundreds that rest.
  void rest(std::weak_ptr<Peer> peer);
  void end_rests();

  const std::shared_ptr<Loop> loop_;
  const Options options_;
  const Duration gap_;  // at least, between two calls of look()

  std::condition_variable_any left_;  // a caller has left a peer whose end a thread awaits; under that peer's mutex

  std::mutex mutex_;
  std::vector<Look> looks_;  // a heap, the earliest first
  std::size_t gone_ = 0;     // peers whose looks may still be in the list
  std::optional<Loop::TimerId> timer_;
  TimePoint timer_at_{};
  TimePoint last_look_{};
  std::vector<std::weak_ptr<Peer>> resting_;
  bool rests_end_ = false;  // a call of end_rests() is due
};

}  // namespace remsh::rpc
