// A loop whose clock stands still, and the slave's side of small calls, played by a test.
#pragma once

#include "support/fake_clock.hpp"
#include "support/peer_pair.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace remsh::test {

/// A loop whose timers run only when its clock is moved: however slow the machine is, no rest ends and no tick comes.
class StoppedLoop {
 public:
  StoppedLoop() = default;
  StoppedLoop(const StoppedLoop&) = delete;
  StoppedLoop& operator=(const StoppedLoop&) = delete;
  ~StoppedLoop() { loop_->stop(); }

  operator const std::shared_ptr<Loop>&() const noexcept { return loop_; }
  Loop* operator->() const noexcept { return loop_.get(); }

  /// Returns when the timers that are due have run.
  void advance(Duration by) {
    clock_.advance(by);
    loop_->clock_moved();
    on_loop([] {});
  }

  /// Runs a function on the loop, and waits for it. Not by a future, which makes system calls that are counted.
  template <class Function>
  void on_loop(const Function& function) {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_done = false;
    loop_->post([&] {
      function();
      const std::lock_guard lock(mutex);
      is_done = true;
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return is_done; });
  }

  /// Ends a peer of this loop, which may rest, and waits until all have left it.
  void end(const std::shared_ptr<rpc::Peer>& peer) {
    peer->close("the test is over");
    for (int i = 0; i < 3; ++i) advance(std::chrono::milliseconds(20));
    peer->wait_until_left();
  }

 private:
  FakeClock clock_;
  const std::shared_ptr<Loop> loop_ = Loop::start(clock_);
};

/// The same options with so much patience that no peer pings because a test has moved its clock.
inline rpc::Peer::Options without_pings(rpc::Peer::Options options = {}) {
  options.session.keepalive = options.session.patience = std::chrono::hours(1000);
  return options;
}

/// The next call, after boxes that need no answer. Empty at the end of the stream, and at a goodbye.
inline Box next_call(RawEnd& slave) {
  Box box = slave.read();
  while (!box.has("_ask") && !box.empty() && box.get("_command") != "goodbye") box = slave.read();
  return box.has("_ask") ? std::move(box) : Box();
}

/// Answers a call without results.
inline void answer(RawEnd& slave, const Box& asked) {
  slave.write(Box{{"_answer", Bytes(asked.get("_ask").value_or(""))}});
}

/// Answers the next call. False if there is none.
inline bool answer_next(RawEnd& slave) {
  const Box asked = next_call(slave);
  if (!asked.empty()) answer(slave, asked);
  return !asked.empty();
}

}  // namespace remsh::test
