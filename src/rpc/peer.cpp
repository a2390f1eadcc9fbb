#include "rpc/peer.hpp"

#include "base/connection_words.hpp"
#include "base/misuse.hpp"
#include "base/text.hpp"
#include "connection/long_value.hpp"
#include "rpc/call.hpp"
#include "rpc/server.hpp"
#include "rpc/service.hpp"

#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

namespace remsh::rpc {

namespace {

constexpr Duration slice = Transport::slice;

/// How much stream data may wait in a connection's queue before who sends has to wait.
constexpr std::size_t max_queued_data = 512 * 1024;

/// Less credit than this is not worth a box: what is under way gives more (docs/protocol.md section 6).
constexpr std::uint64_t min_credit = stream_window / 4;

}  // namespace

void Peer::Locked::unlock() {
  peer_.check();
  held_ = false;
  OperationsEnds over;
  if (!peer_.operations_ends_.empty()) {
    over = peer_.operations_ends_.take_over(
        [this](const OperationRange& range) { return !peer_.ended_ && peer_.engine_.has_open_calls(range); });
  }
  const bool tells = peer_.server_ && !peer_.server_->to_tell.empty();
  if (!tells && peer_.wakes_.empty() && over.empty()) {
    peer_.mutex_.unlock();
    return;
  }
  const auto wakes = std::exchange(peer_.wakes_, {});
  const auto services = tells ? std::exchange(peer_.server_->to_tell, {}) : decltype(peer_.server_->to_tell)();
  peer_.mutex_.unlock();
  for (const auto& wake : wakes) wake();
  for (const auto& service : services) service->tell();
  over.note();
}

// --- life

Peer::Peer(std::shared_ptr<PeerGroup> group)
    : group_(std::move(group)), engine_(group_->options().engine, queue_, *this) {
  if (group_->options().engine.serves) server_ = std::make_unique<Server>(*this);
}

std::shared_ptr<Peer> Peer::start(std::unique_ptr<Transport> transport, std::shared_ptr<Loop> loop, Options options,
                                  BytesView already_read) {
  auto peer = std::make_shared<Peer>(std::make_shared<PeerGroup>(std::move(loop), std::move(options)));
  peer->open(std::move(transport), already_read);
  return peer;
}

void Peer::open(std::unique_ptr<Transport> transport, BytesView already_read) {
  const std::uint32_t slot = loop().add(weak_from_this());
  group_->add(weak_from_this());
  Locked lock(*this);
  slot_ = slot;
  has_slot_ = true;
  transport_ = std::move(transport);
  if (closing_) {  // somebody did not wait for it
    engine_.goodbye(end_->message, {});
    flush(lock);
  }
  if (!already_read.empty()) {
    const Waiter me;
    reader_ = &me;
    take_in(IoResult::moved(already_read.size()), already_read, nullptr);
    flush(lock);
    reader_ = nullptr;
  }
  settle();
}

void Peer::fail(Failure failure) {
  Locked lock(*this);
  if (ended_) return;
  ended_ = true;
  end_ = std::make_unique<Failure>(std::move(failure));
}

Peer::~Peer() {
  // Nobody is inside: they would hold us. The io thread may hold a late event, which finds nobody.
  assert(!server_ || server_->workers() == 0 || server_->is_over());  // wait_until_left() was not called
  if (transport_) transport_->disarm_for_good(loop().watcher());
  if (has_slot_) loop().remove(slot_);
}

void Peer::close(Failure why, std::optional<std::uint64_t> retry) {
  Locked lock(*this);
  if (ended_ || closing_) return;
  closing_ = true;
  end_ = std::make_unique<Failure>(std::move(why));
  if (!transport_) return;  // open() comes, and says so
  engine_.goodbye(end_->message, retry);
  flush(lock);  // who writes last shuts down; the reader sees it, and declares the end
  settle();
}

std::optional<Failure> Peer::ended() const {
  const std::lock_guard lock(mutex_);
  if (!ended_) return std::nullopt;
  return *end_;
}

std::optional<Failure> Peer::closed() const {
  const std::lock_guard lock(mutex_);
  if (!ended_ && !closing_) return std::nullopt;
  return *end_;
}

std::optional<Engine::Goodbye> Peer::said_goodbye() const {
  const std::lock_guard lock(mutex_);
  const Engine::Goodbye* const goodbye = engine_.said_goodbye();
  if (goodbye == nullptr) return std::nullopt;
  return *goodbye;
}

std::uint64_t Peer::next_call() const {
  const std::lock_guard lock(mutex_);
  return engine_.next_call();
}

void Peer::notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept {
  Locked lock(*this);
  operations_ends_.add(std::move(end));
}

void Peer::wait_until_left() { static_cast<void>(wait_until_left(TimePoint::max())); }

std::vector<StuckThread> Peer::wait_until_left(TimePoint until) {
  if (Call::is_under_way_here(*this)) {
    misuse("a listener is destroyed in a callback of a call on one of its slaves, which it would wait for");
  }
  Server::Threads workers;
  {
    std::unique_lock lock(mutex_);
    Leaving self;
    self.next = std::exchange(leaving_, &self);
    const auto is_quiet = [this] { return ended_ && inside_ == 0 && reader_ == nullptr && !writing_; };
    const auto is_left = [&] { return is_quiet() && (!server_ || server_->workers() == 0); };
    if (until == TimePoint::max()) {
      self.left.wait(lock, is_left);
    } else if (!self.left.wait_until(lock, until, is_left)) {
      self.left.wait(lock, is_quiet);
    }
    Leaving** place = &leaving_;
    while (*place != &self) place = &(*place)->next;
    *place = self.next;
    if (server_) workers = server_->take_threads();
  }
  for (std::thread& thread : workers.returned) thread.join();
  return std::move(workers.stuck);
}

/// The reader declares the end, once, here: every open call fails, every service is cancelled, all are woken.
void Peer::declare_end(Failure failure) {
  if (ended_) return;
  ended_ = true;
  if (!end_) end_ = std::make_unique<Failure>(std::move(failure));
  heir_ = nullptr;
  armed_ = Ready::none;
  ++number_;
  transport_->disarm_for_good(loop().watcher());
  transport_->shutdown();
  engine_.end(*end_);
  while (Waiter* const waiter = parked_ != nullptr ? parked_ : suspended_) {
    unlink(*waiter);
    wake(*waiter);
  }
  if (server_) server_->end();
  if (!group_->options().on_end) return;
  loop().post([self = shared_from_this()] { self->group_->options().on_end(*self); });
}

void Peer::tell_left() {
  for (Leaving* leaving = leaving_; leaving != nullptr; leaving = leaving->next) leaving->left.notify_all();
}

void Peer::write_failed(int error) {
  // What the other side said before it went may still be read: the end is the reader's to declare.
  queue_.clear();
  if (!end_) end_ = std::make_unique<Failure>(broken("write", error));
  transport_->shutdown();
}

/// What the transport knows of it says more than the number.
Failure Peer::broken(const char* action, int error) const {
  std::string words = transport_->failure_words();
  return {Errc::connection_lost, words.empty() ? connection_broke(action, error) : std::move(words), error};
}

// --- the watch, and the invariants

void Peer::arm(Ready directions) {
  armed_ = directions;
  transport_->arm(loop().watcher(), directions, Loop::token(slot_, ++number_));
}

/// Makes both invariants true; called before every unlock of a thread that does not go on to lead.
void Peer::settle() {
  if (ended_) {
    decoder_.reset();  // half a box would stay for as long as somebody holds the slave
    if (reader_ == nullptr && !writing_) {
      transport_.reset();  // the last owner closes the descriptor
      tell_left();
    }
    return;
  }
  if (!transport_) return;  // not open yet
  Ready wanted = armed_;
  if (reader_ == nullptr && heir_ == nullptr && !has(armed_, Ready::read)) {
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
  if (!queue_.empty() && !writing_ && promised_ == 0 && !(reader_ != nullptr && polls_)) {
    wanted = wanted | Ready::write;
  }
  if (wanted != armed_) arm(wanted);
}

/// The invariants of docs/threading.md, at every unlock.
void Peer::check() const {
#ifndef NDEBUG
  if (!transport_ || ended_) return;
  const bool is_covered = server_ && server_->covers();
  assert(reader_ != nullptr || has(armed_, Ready::read) || heir_ != nullptr || is_covered || resting_);
  assert(heir_ == nullptr || (heir_->parked && heir_->woken));
  assert(queue_.empty() || writing_ || promised_ > 0 || has(armed_, Ready::write) || (reader_ != nullptr && polls_) ||
         is_covered);
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
    wakes_.push_back(std::exchange(waiter.wake, nullptr));
  }
}

/// The deadline of a suspended call has come, if it is still there.
void Peer::wake_call(std::uint64_t id) {
  Locked lock(*this);
  const OpenCall* const call = engine_.find_call(id);
  if (call != nullptr && call->state != OpenCall::State::abandoned) wake(*static_cast<Waiter*>(call->owner));
}

void Peer::wake_for_room() {
  if (!lacked_room_ || queue_.data_bytes() >= max_queued_data) return;
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
  if (ended_ || credit < min_credit || lacks_room(credit)) return 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(credit, Block::max_payload));
}

/// Only the queue is in the way; who finds that is told when it is not any more. Credit tells by itself.
bool Peer::lacks_room(std::uint64_t credit) const {
  if (ended_ || credit < min_credit || queue_.data_bytes() < max_queued_data) return false;
  return lacked_room_ = true;
}

// --- writing

/// Writes what is queued, where nobody else is writing; once more for what others append meanwhile. What is not taken
/// is left to settle().
void Peer::flush(Locked& lock) {
  if (writing_ || ended_) return;
  for (int round = 0; round < (closing_ ? 3 : 2) && !queue_.empty(); ++round) {
    std::array<std::string_view, 64> views;
    const std::size_t count = queue_.gather(views);
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += views[i].size();
    writing_ = true;
    lock.unlock();
    IoResult result;
    try {
      result = transport_->write_some(std::span(views).first(count));
    } catch (const std::bad_alloc&) {  // who knows how far it came: as good as broken
      result = IoResult::broken(ENOMEM);
    }
    lock.lock();
    writing_ = false;
    const bool is_ok = result.status == IoResult::Status::ok;
    queue_.written(is_ok ? result.bytes : 0);
    if (is_ok) engine_.count_sent(result.bytes);
    if (ended_) break;
    if (result.status == IoResult::Status::failed) {
      write_failed(result.error);
      break;
    }
    if (!is_ok || result.bytes < total) break;
  }
  if (closing_ && !ended_) transport_->shutdown();
  wake_for_room();
}

// --- reading

void Peer::take_in(const IoResult& result, std::span<const char> buffer, const OpenCall* reader) {
  switch (result.status) {
    case IoResult::Status::would_block: return;
    case IoResult::Status::failed: declare_end(broken("read", result.error)); return;
    case IoResult::Status::end:
      declare_end(
          {Errc::connection_lost, decoder_ && decoder_->is_inside_box() ? cut_in_message : closed_without_goodbye, 0});
      return;
    case IoResult::Status::ok: break;
  }
  if (ended_) return;
  if (closing_) {
    declare_end({});  // for the reason that close() was given
    return;
  }
  now_ = now();
  engine_.count_received(result.bytes);
  const BytesView bytes(buffer.data(), result.bytes);
  std::optional<Failure> over;
  if (!decoder_) decoder_ = std::make_unique<BoxDecoder>(engine_.serves() ? call_limits : BoxLimits());
  decoder_->feed(bytes);
  while (decoder_->next()) {
    if (auto received = engine_.receive(decoder_->box(), reader, bytes); !received) {
      over = std::move(received).failure();
      over->reason = DisconnectReason::misbehaved;
      break;
    }
  }
  if (decoder_->error() != BoxError::none) {
    over = Failure{Errc::protocol_error, "the other side sent " + std::string(to_string(decoder_->error())), 0,
                   DisconnectReason::misbehaved};
  } else if (const auto* goodbye = engine_.said_goodbye(); goodbye != nullptr && !over) {
    if (!closing_) end_.reset();  // it says more than a write that failed meanwhile
    over = Failure{Errc::connection_lost, "goodbye: " + without_controls(goodbye->reason), 0,
                   DisconnectReason::closed_there};
  }
  if (over) declare_end(std::move(*over));
}

void Peer::resign(const Waiter& me) {
  if (reader_ == &me) {
    reader_ = nullptr;
    polls_ = false;
  }
}

/// One read, as the reader, of everything that there is for anybody.
void Peer::lead(Locked& lock, Waiter& me, TimePoint deadline) {
  reader_ = &me;
  polls_ = !queue_.empty() && !writing_ && promised_ == 0;
  const Ready keep = polls_ ? Ready::none : armed_ & Ready::write;
  if (keep != armed_) arm(keep);
  settle();
  Duration wait = slice;
  if (deadline != TimePoint::max()) wait = std::clamp(deadline - now(), Duration::zero(), slice);
  const std::span<char> buffer = me.buffer.span();
  const bool polls = polls_;
  lock.unlock();
  Ready ready = Ready::read;
  if (polls) {
    ready = transport_->wait(Ready::both, wait);
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
  if (has(ready, Ready::read)) result = transport_->read_some(buffer, wait);
  lock.lock();
  polls_ = false;
  take_in(result, buffer, me.call);
}

/// Waits until there is work, a stop, the deadline or the end; leads where nobody does and while it is young. Gives the
/// role up and settles before it returns, with the mutex held.
void Peer::wait_for(Locked& lock, Waiter& me, TimePoint deadline, HasWork has_work) {
  me.young_until = now() + slice;
  for (;;) {
    if (heir_ == &me) heir_ = nullptr;
    if (has_work() || me.stopped || ended_) break;
    const TimePoint at = now();
    if (at >= deadline) break;
    if ((reader_ == nullptr || reader_ == &me) && at < me.young_until) {
      lead(lock, me, deadline);
      if (me.is_server && server_->has_work()) continue;  // answers first, then all in one write
      flush(lock);
      continue;
    }
    resign(me);
    park(me);
    settle();
    lock.unlock();
    me.parking.park_until(deadline);
    lock.lock();
    unlink(me);
    me.parked = me.woken = false;
  }
  if (me.is_server && !ended_) return;  // it begins an operation now, which resigns for it
  resign(me);
  settle();
}

void Peer::on_ready(std::uint32_t number, Ready directions) {
  Locked lock(*this);
  if (ended_ || number != number_) return;  // armed anew since
  armed_ = Ready::none;
  const bool reads = reader_ == nullptr;  // whatever the event was: an unlock needs somebody who reads
  Waiter me;                              // stands for the io thread
  if (reads) reader_ = &me;
  if (has(directions, Ready::write)) flush(lock);
  if (reads) {
    settle();
    const std::span<char> buffer = me.buffer.span();
    lock.unlock();
    const IoResult result = transport_->read_some(buffer, Duration::zero());
    lock.lock();
    take_in(result, buffer, nullptr);
    flush(lock);
    reader_ = nullptr;
  }
  settle();
}

// --- resting

/// If calls follow each other within a slice, arming between them would be two system calls for each, for nothing: the
/// next caller reads. So then a look of the loop is due instead, once a slice, which arms if no call came since. What
/// comes unasked (a ping, output for a caller who has been waiting for long, the end) is seen that much later.
void Peer::note_call(TimePoint at) {
  if (resting_) {
    called_ = true;
  } else if (at - last_call_ < slice) {
    start_rest();
  }
  last_call_ = at;
}

void Peer::start_rest() {
  loop().at(now() + slice, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_rest_over();
  });
  resting_ = true;
  called_ = false;
}

void Peer::on_rest_over() {
  Locked lock(*this);
  resting_ = false;
  if (ended_) return;
  if (called_) start_rest();
  settle();
}

// --- liveness

/// Whether somebody else has just made a call, and may make the next one soon.
bool Peer::is_another_calling(const OpenCall& call, TimePoint at) const {
  const OpenCall* const other = engine_.call_before(call);
  if (other == nullptr || other->state != OpenCall::State::open || other->owner == nullptr) return false;
  const Waiter& waiter = *static_cast<const Waiter*>(other->owner);
  return !waiter.is_polled && at < waiter.young_until;
}

/// From the group's timer, now and then: pings if that is due, and gives back memory that is not in use. False: the
/// connection has ended, and need not be looked at any more.
bool Peer::on_liveness() {
  Locked lock(*this);
  if (ended_) return false;
  if (!transport_) return true;
  if (auto alive = engine_.tick(now()); !alive && !closing_) {
    if (!end_) end_ = std::make_unique<Failure>(std::move(alive).failure());
    transport_->shutdown();  // the reader sees it, and declares the end
  }
  flush(lock);
  queue_.give_back();
  engine_.give_back();
  if (decoder_ && !decoder_->is_inside_box()) decoder_.reset();
  settle();
  return true;
}

// --- events of the engine

void Peer::on_call_changed(OpenCall& call) {
  Waiter& waiter = *static_cast<Waiter*>(call.owner);
  waiter.young_until = now_ + slice;
  if (call.state == OpenCall::State::settled) waiter.settled_at = now_;
  wake(waiter);
}

void Peer::on_service(std::shared_ptr<OpenService> service) { server_->add(std::move(service)); }

void Peer::on_service_changed(OpenService& service) {
  if (service.owner != nullptr) static_cast<PeerService*>(service.owner)->changed();
}

}  // namespace remsh::rpc
