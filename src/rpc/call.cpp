#include "rpc/call.hpp"

#include <sched.h>

#include <chrono>
#include <utility>
#include <variant>

namespace remsh::rpc {

thread_local const Call* Call::innermost = nullptr;

bool Call::is_under_way_here(const Peer& peer) noexcept {
  for (const Call* call = innermost; call != nullptr; call = call->outer_) {
    if (call->peer_.get() == &peer) return true;
  }
  return false;
}

Call::Call(std::shared_ptr<Peer> peer, BytesView command, const Box& arguments, Kind kind, const CallOptions& options)
    : peer_(std::move(peer)),
      outer_(std::exchange(innermost, this)),
      deadline_(options.deadline.at()),
      stop_(options.stop) {
  if (stop_.stop_possible()) on_stop_.emplace(stop_, [this] { stopped(); });
  Peer::Locked lock(*peer_);
  ++peer_->inside_;
  if (peer_->end_ && (peer_->ended_ || peer_->closing_)) {
    failure_ = *peer_->end_;
    return;
  }
  if (!peer_->transport_) {
    failure_ = Failure{Errc::connection_lost, "the connection is not open yet", 0};
    return;
  }
  auto call = peer_->engine_.call(command, arguments, kind == Kind::streaming, &me_);
  if (!call) {
    failure_ = std::move(call).failure();
    return;
  }
  call_ = *call;
  me_.call = call_;
  if (options.deadline.at() > std::chrono::steady_clock::now()) peer_->note_call();  // it will read
  if (peer_->engine_.open_calls() > 1) {
    // Others are in flight: let them append, so that one writes for several.
    ++peer_->promised_;
    lock.unlock();
    ::sched_yield();
    lock.lock();
    --peer_->promised_;
  }
  peer_->flush(lock);
  peer_->settle();
}

Call::~Call() {
  innermost = outer_;
  on_stop_.reset();  // waits for a callback that runs, so not under the mutex
  Peer::Locked lock(*peer_);
  if (call_ != nullptr) {
    if (chunk_) peer_->engine_.consumed(*call_, *chunk_);
    peer_->engine_.leave(*call_);
    peer_->flush(lock);
  }
  --peer_->inside_;
  peer_->settle();
  if (peer_->ended_ && peer_->inside_ == 0) peer_->tell_left();
}

void Call::stopped() {
  Peer::Locked lock(*peer_);
  me_.stopped = true;
  peer_->wake(me_);
}

Call::Event Call::fail(Failure failure) {
  failure_ = std::move(failure);
  return Event::failed;
}

Call::Event Call::next(bool wants_room) {
  if (failure_) return Event::failed;
  Peer::Locked lock(*peer_);
  if (chunk_) {
    peer_->engine_.consumed(*call_, *chunk_);
    chunk_.reset();
    peer_->flush(lock);
  }
  const auto room = [this, wants_room] {
    return wants_room && call_->state == OpenCall::State::open ? peer_->room(call_->streams->in.room()) : 0;
  };
  const auto has_work = [&] { return call_->has_chunk() || call_->state == OpenCall::State::settled || room() > 0; };
  me_.wants_room = wants_room;
  peer_->wait_for(lock, me_, deadline_, has_work);
  const bool is_open = call_->state == OpenCall::State::open;
  if (is_open && me_.stopped) return fail({Errc::cancelled, "cancelled by the caller", 0});
  if (is_open && deadline_ != TimePoint::max() && std::chrono::steady_clock::now() >= deadline_) {
    return fail({Errc::timeout, "the caller's deadline passed", 0});
  }
  if (call_->has_chunk()) {
    chunk_ = call_->take_chunk();
    return Event::chunk;
  }
  if (is_open) {
    room_ = room();
    return Event::room;
  }
  if (auto* failure = std::get_if<Failure>(&call_->outcome)) return fail(std::move(*failure));
  return Event::answered;
}

void Call::send(Block block, std::size_t count) {
  Peer::Locked lock(*peer_);
  if (call_->state != OpenCall::State::open) return;  // over meanwhile: next() tells
  peer_->engine_.send_input(*call_, std::move(block), count);
  peer_->flush(lock);
  peer_->settle();
}

void Call::end_input() {
  Peer::Locked lock(*peer_);
  if (call_->state != OpenCall::State::open) return;
  peer_->engine_.end_input(*call_);
  peer_->flush(lock);
  peer_->settle();
}

Box& Call::answer() { return std::get<Box>(call_->outcome); }

}  // namespace remsh::rpc
