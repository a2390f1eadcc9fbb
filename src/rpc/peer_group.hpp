// PeerGroup: what the peers of one owner have in common, and one timer for the liveness of all.
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
#include <vector>

namespace remsh::rpc {

class Peer;

/// The options and the loop of many peers, kept once, and the list of them. Looks after their liveness from the loop: a
/// few at a time, so that thousands of them do not hold up what else the loop has to do. Thread-safe.
class PeerGroup : public std::enable_shared_from_this<PeerGroup> {
 public:
  /// For those who have nothing to decide.
  static void give_up_at_once(Peer& peer);

  struct Options {
    Engine::Options engine = {};
    Session::Options session = {};                                       // its limits follow from engine.serves
    std::function<void(const std::shared_ptr<ServedCall>&)> serve = {};  // on a worker, must not throw
    std::size_t threads = 64;        // operations of one peer that run at once, without those that are long
    std::size_t max_threads = 1024;  // with these
    Duration long_operation = std::chrono::seconds(1);  // from when on one is long: stuck, or made to wait

    /// Called on the loop, at most once for each, when its connection is cut. The session is not over: what becomes of
    /// it is decided here, and it stays as it is until give_up() or close() is called.
    std::function<void(Peer&)> on_cut = give_up_at_once;

    /// Called on the loop, once for each, when its session is over.
    std::function<void(Peer&)> on_end = {};
  };

  PeerGroup(std::shared_ptr<Loop> loop, Options options);
  PeerGroup(const PeerGroup&) = delete;
  PeerGroup& operator=(const PeerGroup&) = delete;
  virtual ~PeerGroup() = default;

  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }

 private:
  friend class Peer;
  void add(std::weak_ptr<Peer> peer);
  void look_later();
  void look();

  const std::shared_ptr<Loop> loop_;
  const Options options_;
  const Duration period_;  // in which each is looked at once

  std::condition_variable_any left_;  // somebody has left a peer for whose end a thread waits; under that peer's mutex

  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<Peer>> peers_;
  std::size_t next_ = 0;  // to be looked at
  bool looks_ = false;    // a look is due
};

}  // namespace remsh::rpc
