#include "rpc/call.hpp"

#include "base/seconds.hpp"
#include "rpc/peer_batch.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <new>
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

Call::Call(std::shared_ptr<Peer> peer, BytesView command, const Box& arguments, Kind kind, const Patience& options,
           std::atomic<std::uint64_t>* id)
    : peer_(std::move(peer)), deadline_(options.deadline.at()), stop_(options.stop) {
  if (stop_.stop_possible()) on_stop_.emplace(stop_, [this] { stopped(); });
  Peer::Locked lock(*peer_);
  enter();
  try {
    begin(lock, command, arguments, kind, id);
  } catch (...) {  // out of memory
    if (!lock.is_held()) lock.lock();
    abandon();
    leave({});
    lock.unlock();
    on_stop_.reset();  // waits for a running callback, so not under the mutex
    throw;
  }
}

/// Gives up a call that could not be begun completely, under the mutex. If there is no memory to cancel it, its answer
/// settles it.
void Call::abandon() noexcept {
  if (call_ == nullptr) return;
  try {
    peer_->engine_.leave(*call_);
  } catch (const std::bad_alloc&) {
  }
  call_ = nullptr;
}

void Call::begin(Peer::Locked& lock, BytesView command, const Box& arguments, Kind kind,
                 std::atomic<std::uint64_t>* id) {
  if (const Failure* const why = peer_->session_.closed()) {
    failure_ = *why;
    return;
  }
  if (!peer_->link_.is_open()) {
    failure_ = Failure{Errc::connection_lost, "the connection is not open yet", 0};
    return;
  }
  const bool is_in_batch = PeerBatch::is_open_here(*peer_);
  auto call = peer_->engine_.call(command, arguments, kind == Kind::streaming, &me_, is_in_batch);
  if (!call) {
    failure_ = std::move(call).failure();
    peer_->flush(lock);  // calls that waited before it may have been queued
    return peer_->settle();
  }
  call_ = *call;
  if (id != nullptr) id->store(call_->id, std::memory_order_release);
  const TimePoint at = peer_->now();
  begun_ = at;
  me_.young_until = at + Link::slice;
  if (is_in_batch) return peer_->settle();
  if (deadline_ > at) peer_->expect_reader(at);
  if (peer_->is_another_calling(*call_, at)) {
    // Let other threads append, so that one thread writes for several.
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
  on_stop_.reset();  // waits for a running callback, so not under the mutex
  if (timer_) peer_->loop().cancel(*timer_);
  Peer::Locked lock(*peer_);
  const auto dropped = enter();
  if (call_ != nullptr) {
    if (chunk_) peer_->engine_.consumed(*call_, *chunk_);
    peer_->wake_feeders(*call_);
    peer_->engine_.leave(*call_);
    peer_->flush(lock);
    call_ = nullptr;
  }
  leave({});
  lock.unlock();  // before `dropped` releases its references, whose destructors may be the user's
}

/// From here on this thread drives the call. Returns the waker of the suspended call, to be destroyed without the
/// mutex.
std::function<void()> Call::enter() {
  if (is_inside_) return {};
  is_inside_ = true;
  outer_ = std::exchange(innermost, this);
  ++peer_->inside_;
  if (me_.parked) {
    peer_->unlink(me_);
    me_.parked = me_.woken = me_.is_polled = false;
  }
  return std::exchange(me_.wake, nullptr);
}

/// No thread drives the call any more. If it is open, the io thread reads for it.
void Call::leave(std::function<void()> wake) {
  is_inside_ = false;
  was_suspended_ = true;
  innermost = outer_;
  --peer_->inside_;
  // A suspended call gives the read buffer back to the thread, unless a chunk that it has not used yet is in it.
  if (!chunk_ && (call_ == nullptr || !call_->has_chunk())) me_.buffer.give_back();
  if (call_ != nullptr && !failure_ && call_->state == OpenCall::State::open) {
    me_.is_polled = true;
    me_.wake = std::move(wake);
    if (me_.wake) peer_->expect_no_reader();
    peer_->park(me_);
    look_at_deadline();
  }
  peer_->settle();
  if (peer_->is_over() && peer_->inside_ == 0) peer_->tell_left();
}

/// Only the loop watches the deadline of a suspended call.
void Call::look_at_deadline() {
  if (timer_ || deadline_ == TimePoint::max()) return;
  timer_ = peer_->loop().at(deadline_, [weak = peer_->weak_from_this(), id = call_->id] {
    if (const auto peer = weak.lock()) peer->wake_call(id);
  });
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

void Call::use_up_chunk(Peer::Locked& lock) {
  if (!chunk_) return;
  peer_->engine_.consumed(*call_, *chunk_);
  chunk_.reset();
  peer_->flush(lock);
}

std::size_t Call::room_now(bool wants_room) const {
  return wants_room && call_->state == OpenCall::State::open && call_->is_sent()
             ? peer_->room(call_->streams->in.room())
             : 0;
}

/// Takes the next event, under the mutex. nullopt if the call is open, not stopped, and its deadline has not come.
std::optional<Call::Event> Call::take(bool wants_room) {
  const bool is_open = call_->state == OpenCall::State::open;
  if (is_open && me_.stopped) return fail({Errc::cancelled, "cancelled by the caller", 0});
  if (is_open && deadline_ != TimePoint::max() && peer_->now() >= deadline_) {
    return fail({Errc::timeout, deadline_passed(begun_, deadline_), 0});
  }
  if (call_->has_chunk()) {
    chunk_ = call_->take_chunk();
    return Event::chunk;
  }
  if (is_open) {
    room_ = room_now(wants_room);
    return room_ > 0 ? std::optional(Event::room) : std::nullopt;
  }
  if (auto* failure = std::get_if<Failure>(&call_->outcome)) return fail(std::move(*failure));
  return Event::answered;
}

/// Whether the driver has nothing more to do, now or for good. (A caller that waits is still inside the call then, and
/// drops it at once. A caller that polls may keep it.)
bool Call::is_last(std::optional<Event> event) noexcept { return event != Event::chunk && event != Event::room; }

std::optional<Call::Event> Call::next_until(bool wants_room, TimePoint until) {
  if (failure_) return Event::failed;
  std::function<void()> dropped;
  Peer::Locked lock(*peer_);
  dropped = enter();
  use_up_chunk(lock);
  const auto has_work = [&] {
    return call_->has_chunk() || call_->state == OpenCall::State::settled || room_now(wants_room) > 0;
  };
  me_.wants_room = wants_room;
  peer_->send_batch(lock, *call_);
  peer_->wait_for(lock, me_, std::min(deadline_, until), has_work);
  auto event = take(wants_room);
  if (event && !is_last(event)) peer_->expect_reader(peer_->now());  // this one, after it has used the event
  if (!event || (was_suspended_ && is_last(event))) leave({});
  return event;
}

std::optional<Call::Event> Call::poll(bool wants_room, const std::function<void()>& wake) {
  if (failure_) return Event::failed;
  std::function<void()> dropped;
  Peer::Locked lock(*peer_);
  dropped = enter();
  use_up_chunk(lock);
  me_.wants_room = wants_room;
  peer_->send_batch(lock, *call_);
  auto event = take(wants_room);
  if (!event) {
    leave(wake);
  } else if (is_last(event)) {
    leave({});
  } else {
    peer_->settle();
  }
  return event;
}

void Call::suspend() {
  Peer::Locked lock(*peer_);
  if (is_inside_) leave({});
}

void Call::send(Block block, std::size_t count) {
  Peer::Locked lock(*peer_);
  auto data = peer_->box_data(lock, std::move(block), count);
  if (call_->state != OpenCall::State::open) return;  // ended meanwhile: next() returns the outcome
  peer_->engine_.send_input(*call_, std::move(data));
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
