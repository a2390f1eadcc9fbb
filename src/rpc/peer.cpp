#include "rpc/peer.hpp"

#include "rpc/call.hpp"
#include "rpc/peer_batch.hpp"
#include "rpc/server.hpp"
#include "rpc/service.hpp"

#include <array>
#include <cassert>
#include <cstring>
#include <utility>

namespace remsh::rpc {

namespace {

constexpr Duration slice = Link::slice;

/// How much stream data may be queued in a connection before senders have to wait.
constexpr std::size_t max_queued_data = 512 * 1024;

/// Less credit than this is not worth a box: the boxes under way will bring more (docs/protocol.md section 6).
constexpr std::uint64_t min_credit = stream_window / 4;

}  // namespace

void Peer::Locked::unlock() {
  peer_.check();
  held_ = false;
  OperationsEnds over;
  if (!peer_.operations_ends_.empty()) {
    over = peer_.operations_ends_.take_over(
        [this](const OperationRange& range) { return !peer_.is_over() && peer_.engine_.has_open_calls(range); });
  }
  const bool tells = peer_.server_ && !peer_.server_->to_tell.empty();
  if (!tells && peer_.wakes_.empty() && over.empty()) {
    peer_.mutex_.unlock();
    return;
  }
  auto wakes = std::exchange(peer_.wakes_, {});
  wakes.reverse();  // in the order in which they were added
  const auto services = tells ? std::exchange(peer_.server_->to_tell, {}) : decltype(peer_.server_->to_tell)();
  peer_.mutex_.unlock();
  for (const auto& wake : wakes) wake();
  for (const auto& service : services) service->tell();
  over.note();
}

// --- construction, opening and destruction

Peer::Peer(std::shared_ptr<PeerGroup> group)
    : group_(std::move(group)),
      session_(group_->options().session),
      engine_(group_->options().engine, session_, *this) {
  if (group_->options().engine.serves) server_ = std::make_unique<Server>(*this);
}

std::shared_ptr<Peer> Peer::start(std::unique_ptr<Transport> transport, std::shared_ptr<Loop> loop, Options options,
                                  BytesView already_read, bool compresses) {
  auto peer = std::make_shared<Peer>(std::make_shared<PeerGroup>(std::move(loop), std::move(options)));
  if (compresses) peer->use_compression();
  peer->open(std::move(transport), already_read);
  return peer;
}

void Peer::open(std::unique_ptr<Transport> transport, BytesView already_read) {
  Locked lock(*this);
  link_.open(std::move(transport), loop(), weak_from_this());
  const TimePoint at = now();
  session_.attach(at);
  look_later(at);
  const Waiter me;  // stands for this thread: whenever flush() unlocks, there must be a reader
  reader_ = &me;
  flush(lock);  // if close() was called before, it did not wait for the write
  if (!already_read.empty()) {
    ReadBuffer none;
    take_in(IoResult::moved(already_read.size()), already_read, 0, none);
    flush(lock);
  }
  reader_ = nullptr;
  settle();
}

void Peer::use_compression() {
  const std::lock_guard lock(mutex_);
  engine_.use_compression();
}

Peer::~Peer() {
  // No thread is inside: it would hold a reference. The io thread may still have a late event, which will find no peer.
  assert(!server_ || server_->workers() == 0 || server_->is_over());  // wait_until_left() was not called
  group_->gone();
}

std::uint64_t Peer::next_call() const {
  const std::lock_guard lock(mutex_);
  return engine_.next_call();
}

// --- the watch, and the invariants

/// Makes both invariants true. Called before every unlock by a thread that does not go on to lead.
void Peer::settle() {
  if (session_.state() == Session::State::waiting) return;
  if (!session_.is_attached()) {  // cut or over
    session_.give_back();         // half a box would stay allocated as long as the Slave object lives
    if (reader_ == nullptr && !writing_) {
      link_.close();  // closes the descriptor
      tell_left();
    }
    return;
  }
  Ready wanted = link_.armed();
  if (reader_ == nullptr && heir_ == nullptr && !has(wanted, Ready::read)) {
    const TimePoint at = parked_ != nullptr ? now() : TimePoint();
    for (Waiter* waiter = parked_; waiter != nullptr; waiter = waiter->next) {
      if (!waiter->woken && at < waiter->young_until) {
        heir_ = waiter;
        break;
      }
    }
    if (heir_ != nullptr) {
      wake(*heir_);
    } else if (!resting_) {
      wanted = wanted | Ready::read;
    }
  }
  if (session_.has_output() && !writing_ && promised_ == 0 && !(reader_ != nullptr && polls_)) {
    wanted = wanted | Ready::write;
  }
  if (wanted != link_.armed()) link_.arm(wanted);
}

/// Asserts the invariants of docs/threading.md, at every unlock.
void Peer::check() const {
#ifndef NDEBUG
  if (!session_.is_attached()) return;
  const Ready armed = link_.armed();
  const bool is_covered = server_ && server_->covers();
  assert(reader_ != nullptr || has(armed, Ready::read) || heir_ != nullptr || is_covered || resting_);
  assert(heir_ == nullptr || (heir_->parked && heir_->woken));
  assert(!session_.has_output() || writing_ || promised_ > 0 || has(armed, Ready::write) ||
         (reader_ != nullptr && polls_) || is_covered);
#endif
}

void Peer::park(Waiter& waiter) {
  Waiter*& list = list_of(waiter);
  waiter.parked = true;
  waiter.next = list;
  if (list != nullptr) list->previous = &waiter;
  list = &waiter;
  if (waiter.wants_room) ++room_waiters_;
}

void Peer::unlink(Waiter& waiter) {
  if (waiter.previous != nullptr) {
    waiter.previous->next = waiter.next;
  } else if (Waiter*& list = list_of(waiter); list == &waiter) {
    list = waiter.next;
  } else {
    return;  // not in the list
  }
  if (waiter.next != nullptr) waiter.next->previous = waiter.previous;
  waiter.previous = waiter.next = nullptr;
  if (waiter.wants_room) --room_waiters_;
}

void Peer::wake(Waiter& waiter) {
  if (!waiter.parked || waiter.woken) return;
  waiter.woken = true;
  if (!waiter.is_polled) {
    waiter.parking.unpark();
  } else if (waiter.wake) {
    wakes_.push_front(std::exchange(waiter.wake, nullptr));
  }
}

/// The deadline of a suspended call has passed. Does nothing if the call is gone.
void Peer::wake_call(std::uint64_t id) {
  Locked lock(*this);
  const OpenCall* const call = engine_.find_call(id);
  if (call != nullptr && call->state != OpenCall::State::abandoned) wake(*static_cast<Waiter*>(call->owner));
}

/// Something has changed for those who write the input of this call.
void Peer::wake_feeders(const OpenCall& call) {
  if (room_waiters_ == 0) return;
  for (Waiter* waiter = parked_; waiter != nullptr; waiter = waiter->next) {
    if (waiter->feeds == &call) wake(*waiter);
  }
}

void Peer::wake_for_room() {
  if (!lacked_room_ || session_.data_bytes() >= max_queued_data) return;
  lacked_room_ = false;
  if (room_waiters_ > 0) {
    for (Waiter* const list : {parked_, suspended_}) {
      for (Waiter* waiter = list; waiter != nullptr; waiter = waiter->next) {
        if (waiter->wants_room) wake(*waiter);
      }
    }
  }
  if (!server_) return;
  for (const auto& waiting : std::exchange(server_->without_room, {})) {
    if (const auto service = waiting.lock()) service->notify();
  }
}

std::size_t Peer::room(std::uint64_t credit) const {
  if (is_over() || credit < min_credit || lacks_room(credit)) return 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(credit, Block::max_payload));
}

/// True if only the full queue prevents sending; the caller is notified when it drains. New credit notifies separately.
bool Peer::lacks_room(std::uint64_t credit) const {
  if (is_over() || credit < min_credit || session_.data_bytes() < max_queued_data) return false;
  return lacked_room_ = true;
}

// --- writing

/// Writes what is queued, if no other thread is writing, and once more what others append meanwhile. settle() takes
/// care of what the transport does not accept.
void Peer::flush(Locked& lock) {
  if (writing_ || !session_.is_attached()) return;
  for (int round = 0; round < (session_.is_closing() ? 3 : 2) && session_.has_output(); ++round) {
    std::array<std::string_view, 16> views;  // small boxes share one
    const std::size_t count = session_.gather(views);
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += views[i].size();
    writing_ = true;
    lock.unlock();
    const IoResult result = link_.write(std::span(views).first(count));
    lock.lock();
    writing_ = false;
    const bool is_ok = result.status == IoResult::Status::ok;
    session_.written(is_ok ? result.bytes : 0, now());
    if (!session_.is_attached()) break;
    if (is_ok && !session_.is_closing()) engine_.send_waiting();
    if (result.status == IoResult::Status::failed) {
      // What the other side sent before it closed may still be unread, so it is the reader that declares the cut.
      session_.drop_output();
      session_.suspect(link_.broken("write", result.error));
      link_.shut_down();
      break;
    }
    if (!is_ok || result.bytes < total) break;
  }
  if (session_.is_closing() && session_.is_attached()) link_.shut_down();
  wake_for_room();
}

/// The thread will wait for this call, so it must not keep the call's box.
void Peer::send_batch(Locked& lock, const OpenCall& call) {
  if (call.is_sent() || !PeerBatch::is_open_here(*this)) return;
  engine_.send_waiting();
  flush(lock);
}

/// What a box carries. If both sides have agreed to compress, releases the mutex for it: the call may have ended
/// afterwards. The room of a stream cannot shrink meanwhile, if this thread is the only one that writes it.
BoxData Peer::box_data(Locked& lock, Block block, std::size_t count) {
  if (!engine_.compresses()) return BoxData::plain(std::move(block), count);
  lock.unlock();
  auto data = BoxData::compressed_if_smaller(std::move(block), count);
  lock.lock();
  return data;
}

void Peer::send_waiting() {
  Locked lock(*this);
  if (!session_.is_attached() || session_.is_closing()) return;
  engine_.send_waiting();
  flush(lock);
  settle();
}

// --- reading

/// Handles what was read into `bytes` of the buffer, behind `again` bytes that Session::take_unfinished() had put there
/// before.
void Peer::take_in(const IoResult& result, BytesView bytes, std::size_t again, ReadBuffer& buffer) {
  const std::size_t size = again + (result.status == IoResult::Status::ok ? result.bytes : 0);
  if (size > 0) {
    buffer.fill(size);
    session_.receive(bytes.substr(0, size), now(), again);
    while (const BoxView* const box = session_.next()) {
      if (auto received = engine_.receive(*box, buffer.memory()); !received) {
        session_.breach(std::move(received).failure());
      }
    }
    tell_draining();
  }
  switch (result.status) {
    case IoResult::Status::would_block: return;
    case IoResult::Status::failed: session_.cut(link_.broken("read", result.error)); break;
    case IoResult::Status::end: session_.cut(); break;
    case IoResult::Status::ok: break;
  }
  look_at_session();
}

void Peer::resign(const Waiter& me) {
  if (reader_ == &me) {
    reader_ = nullptr;
    polls_ = false;
  }
}

/// Reads once, as the reader, and dispatches the boxes of all calls.
void Peer::lead(Locked& lock, Waiter& me, TimePoint deadline) {
  const std::span<char> buffer = me.buffer.room();
  reader_ = &me;
  has_led_ = true;
  polls_ = session_.has_output() && !writing_ && promised_ == 0;
  const Ready keep = polls_ ? Ready::none : link_.armed() & Ready::write;
  if (keep != link_.armed()) link_.arm(keep);
  settle();
  Duration wait = slice;
  if (deadline != TimePoint::max()) wait = std::clamp(deadline - now(), Duration::zero(), slice);
  const std::size_t again = session_.take_unfinished(buffer);
  const bool polls = polls_;
  lock.unlock();
  Ready ready = Ready::read;
  if (polls) {
    ready = link_.wait(Ready::both, wait);
    wait = Duration::zero();
    if (has(ready, Ready::write)) {
      lock.lock();
      polls_ = false;
      flush(lock);
      settle();
      lock.unlock();
    }
  }
  IoResult result;
  if (has(ready, Ready::read)) result = link_.read(buffer.subspan(again), wait);
  lock.lock();
  polls_ = false;
  take_in(result, {buffer.data(), buffer.size()}, again, me.buffer);
}

/// Waits until there is work, a stop, the deadline or the end. Leads if there is no reader and the waiter is young.
/// Gives the role up and settles before it returns, with the mutex held.
void Peer::wait_for(Locked& lock, Waiter& me, TimePoint deadline, HasWork has_work) {
  me.young_until = now() + slice;
  for (;;) {
    if (heir_ == &me) heir_ = nullptr;
    if (has_work() || me.stopped || is_over()) break;
    const TimePoint at = now();
    if (at >= deadline) break;
    if (session_.is_attached() && (reader_ == nullptr || reader_ == &me) && at < me.young_until) {
      lead(lock, me, deadline);
      if (me.is_server && server_->has_work()) continue;  // answer first, then write all answers at once
      flush(lock);
      continue;
    }
    resign(me);
    me.buffer.give_back();
    park(me);
    settle();
    lock.unlock();
    loop().park(me.parking, deadline);
    lock.lock();
    unlink(me);
    me.parked = me.woken = false;
  }
  if (me.is_server && !is_over()) return;  // it begins an operation now, and resigns as reader there
  resign(me);
  settle();
}

void Peer::on_ready(std::uint32_t number, Ready directions) {
  Locked lock(*this);
  if (!session_.is_attached() || !link_.take_event(number)) return;
  const bool reads = reader_ == nullptr;  // whatever the event was: after this unlock there must be a reader
  Waiter me;                              // stands for the io thread
  if (reads) reader_ = &me;
  if (has(directions, Ready::write)) flush(lock);
  if (reads) {
    settle();
    const std::span<char> buffer = me.buffer.room();
    const std::size_t again = session_.take_unfinished(buffer);
    lock.unlock();
    const IoResult result = link_.read(buffer.subspan(again), Duration::zero());
    lock.lock();
    take_in(result, {buffer.data(), buffer.size()}, again, me.buffer);
    flush(lock);
    reader_ = nullptr;
  }
  settle();
}

// --- resting

/// A thread has made a call, or uses what came for one, and will then read. If this happens again within a slice, then
/// to arm between would cost two system calls each time in vain. So the loop checks once per slice instead, all peers
/// of the group at once, and arms if no reader was expected since. What arrives unasked meanwhile (a ping, the end,
/// output for a caller who has been waiting for long) is seen that much later.
void Peer::expect_reader(TimePoint at) {
  if (at < last_expected_) return;
  if (resting_) {
    expected_ = true;
  } else if (at - last_expected_ < slice) {
    start_rest();
  }
  last_expected_ = at;
}

/// A call waits for its waker, and its answer may come at once: for a slice the loop reads. After that a quiet call
/// does not make those beside it dearer.
void Peer::expect_no_reader() {
  resting_ = false;
  last_expected_ = now() + slice;
}

/// Whether another caller has just made a call, and may make the next one soon.
bool Peer::is_another_calling(const OpenCall& call, TimePoint at) const {
  const OpenCall* const other = engine_.call_before(call);
  if (other == nullptr || other->state != OpenCall::State::open || other->owner == nullptr) return false;
  const Waiter& waiter = *static_cast<const Waiter*>(other->owner);
  return !waiter.is_polled && at < waiter.young_until;
}

void Peer::start_rest() {
  group_->rest(weak_from_this());
  resting_ = true;
  expected_ = has_led_ = false;
}

void Peer::on_rest_over() {
  Locked lock(*this);
  const bool rested = resting_;
  resting_ = false;
  if (!session_.is_attached()) return;
  // A caller who uses much that came before, or starts calls and does not wait for them, reads nothing meanwhile.
  if (rested && expected_ && has_led_) start_rest();
  settle();
}

// --- events of the engine

void Peer::on_call_changed(OpenCall& call) {
  Waiter& waiter = *static_cast<Waiter*>(call.owner);
  const TimePoint at = session_.last_received();  // of the read in progress
  waiter.young_until = at + slice;
  if (call.state == OpenCall::State::settled) waiter.settled_at = at;
  wake(waiter);
  wake_feeders(call);
}

void Peer::on_ping() {
  if (group_->options().on_ping) wakes_.push_front(group_->options().on_ping);
}

void Peer::on_service(std::shared_ptr<OpenService> service) { server_->add(std::move(service)); }

void Peer::on_service_changed(OpenService& service) {
  if (service.owner != nullptr) static_cast<PeerService*>(service.owner)->changed();
}

}  // namespace remsh::rpc
