#include "rpc/call_input.hpp"

#include "base/seconds.hpp"
#include "connection/block.hpp"
#include "rpc/waiter.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>
#include <stop_token>

namespace remsh::rpc {

/// Counts this thread as inside the peer; under the mutex.
class CallInput::Inside {
 public:
  explicit Inside(Peer& peer) : peer_(peer) { ++peer_.inside_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() {
    --peer_.inside_;
    if (peer_.is_over() && peer_.inside_ == 0) peer_.tell_left();
  }

 private:
  Peer& peer_;
};

/// The call, if it can take input; under the mutex.
OpenCall* CallInput::open_call() const {
  OpenCall* const call = peer_->engine_.find_call(call_);
  return call != nullptr && call->state == OpenCall::State::open ? call : nullptr;
}

Result<bool> CallInput::write(BytesView bytes, const Patience& patience) {
  Waiter me;
  me.wants_room = true;
  // Destroyed after the lock is released, since that waits for a running callback.
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  if (patience.stop.stop_possible()) {
    on_stop.emplace(patience.stop, [&] {
      Peer::Locked lock(*peer_);
      me.stopped = true;
      peer_->wake(me);
    });
  }
  const TimePoint begun = peer_->now();
  const TimePoint deadline = patience.deadline.at();
  Peer::Locked lock(*peer_);
  const Inside inside(*peer_);
  if (const OpenCall* const call = open_call()) peer_->send_batch(lock, *call);
  while (!bytes.empty()) {
    const auto room = [&]() -> std::size_t {
      const OpenCall* const call = open_call();
      return call != nullptr && call->is_sent() ? peer_->room(call->streams->in.room()) : 0;
    };
    me.feeds = open_call();
    peer_->wait_for(lock, me, deadline, [&] { return open_call() == nullptr || room() > 0; });
    OpenCall* const call = open_call();
    if (call == nullptr || peer_->is_over()) return false;
    const std::size_t count = std::min(bytes.size(), room());
    if (count == 0) {
      if (me.stopped) return Failure{Errc::cancelled, "cancelled by the caller", 0};
      return Failure{Errc::timeout, deadline_passed(begun, deadline), 0};
    }
    Block block;
    std::memcpy(block.payload().data(), bytes.data(), count);
    auto data = peer_->box_data(lock, std::move(block), count);
    if (open_call() != call || room() < count) continue;  // another thread has written, or the call has ended
    bytes.remove_prefix(count);
    peer_->engine_.send_input(*call, std::move(data));
    peer_->flush(lock);
    peer_->settle();
  }
  return true;
}

void CallInput::end() {
  Peer::Locked lock(*peer_);
  OpenCall* const call = open_call();
  if (call == nullptr) return;
  peer_->engine_.end_input(*call);
  peer_->flush(lock);
  peer_->settle();
}

}  // namespace remsh::rpc
