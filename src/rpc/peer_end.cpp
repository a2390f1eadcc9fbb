// Peer: how a session ends (by a goodbye, a cut that its owner gives up, or silence), and which functions are then
// called.
#include "rpc/peer.hpp"

#include "base/misuse.hpp"
#include "rpc/call.hpp"
#include "rpc/server.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace remsh::rpc {

// --- what ends it

void Peer::close(Failure why, std::optional<std::uint64_t> retry) {
  Locked lock(*this);
  if (!session_.close(std::move(why), retry)) return;
  look_at_session();  // a session that was cut is over now
  flush(lock);        // the last writer shuts down, and the reader sees it; before open() nothing is written
  settle();
}

void Peer::drain(BytesView reason, std::chrono::milliseconds within) {
  Locked lock(*this);
  if (!session_.drain(reason, within)) return;
  flush(lock);
  settle();
}

/// Called by the reader after each read.
void Peer::tell_draining() {
  if (session_.draining() == nullptr || is_draining_told_ || !group_->options().on_draining) return;
  is_draining_told_ = true;
  loop().post([self = shared_from_this()] { self->group_->options().on_draining(*self); });
}

void Peer::fail(Failure failure) {
  const std::lock_guard lock(mutex_);
  session_.end(std::move(failure));
}

void Peer::give_up() {
  Locked lock(*this);
  if (!session_.is_cut()) return;
  session_.give_up();
  look_at_session();
  settle();
}

/// Called by the group at a time that look_later() asked for: pings if that is due, and frees memory that is not in
/// use.
void Peer::look(TimePoint at) {
  Locked lock(*this);
  if (at != next_look_) return;  // another one was asked for since
  if (session_.is_attached()) {
    switch (session_.look(now())) {
      case Session::Pulse::good: break;
      case Session::Pulse::ping_due: engine_.ping(); break;
      case Session::Pulse::lost: link_.shut_down(); break;  // the reader sees it, and declares the cut
    }
    flush(lock);
    session_.give_back();
    engine_.give_back();
    settle();
  }
  look_later(now());
}

/// Under the mutex.
void Peer::look_later(TimePoint now) {
  constexpr Duration longest = std::chrono::minutes(1);  // so that memory is freed
  if (is_over()) return;
  next_look_ = std::min(session_.next_look(now), now + longest);
  group_->look_at(next_look_, weak_from_this());
}

void Peer::set_keepalive(Duration keepalive, Duration patience) {
  const std::lock_guard lock(mutex_);
  const TimePoint at = now();
  session_.set_keepalive(keepalive, patience, at);
  if (session_.next_look(at) < next_look_) look_later(at);
}

// --- what has become of it

/// Called by the reader after each read, and after a session was ended without one: reports a cut and the end, each
/// once.
///
/// A session that is cut does not change until its owner has decided: open calls and their callers wait, nobody reads
/// or writes, and what is queued is kept. Once it is over, every open call fails, every service is cancelled, and all
/// waiters are woken.
void Peer::look_at_session() {
  if (!session_.is_cut() && !is_over()) return;
  heir_ = nullptr;  // there is nothing to read
  link_.cut();
  if (session_.is_cut()) {
    if (is_cut_told_) return;
    is_cut_told_ = true;
    return loop().post([self = shared_from_this()] { self->group_->options().on_cut(*self); });
  }
  if (is_end_told_) return;
  is_end_told_ = true;
  engine_.end(*session_.over());
  while (Waiter* const waiter = parked_ != nullptr ? parked_ : suspended_) {
    unlink(*waiter);
    wake(*waiter);
  }
  if (server_) server_->end();
  if (!group_->options().on_end) return;
  loop().post([self = shared_from_this()] { self->group_->options().on_end(*self); });
}

namespace {
template <class T>
std::optional<T> copy_of(const T* value) {
  return value == nullptr ? std::nullopt : std::optional(*value);
}
}  // namespace

bool Peer::is_cut() const {
  const std::lock_guard lock(mutex_);
  return session_.is_cut();
}

std::optional<Session::Draining> Peer::draining() const {
  const std::lock_guard lock(mutex_);
  return copy_of(session_.draining());
}

bool Peer::is_draining() const {
  const std::lock_guard lock(mutex_);
  return session_.draining() != nullptr;
}

std::optional<Failure> Peer::ended() const {
  const std::lock_guard lock(mutex_);
  return copy_of(session_.over());
}

std::optional<Failure> Peer::closed() const {
  const std::lock_guard lock(mutex_);
  return copy_of(session_.closed());
}

std::optional<Session::Goodbye> Peer::said_goodbye() const {
  const std::lock_guard lock(mutex_);
  return copy_of(session_.said_goodbye());
}

void Peer::notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept {
  Locked lock(*this);
  operations_ends_.add(std::move(end));
}

// --- waiting until all callers have left

void Peer::wait_until_left() { static_cast<void>(wait_until_left(TimePoint::max())); }

std::vector<StuckThread> Peer::wait_until_left(TimePoint until) {
  if (Call::is_under_way_here(*this)) {
    misuse("a listener is destroyed in a callback of a call on one of its slaves, which it would wait for");
  }
  Server::Threads workers;
  {
    std::unique_lock lock(mutex_);
    is_end_awaited_ = true;
    const auto is_quiet = [this] { return is_over() && inside_ == 0 && reader_ == nullptr && !writing_; };
    const auto is_left = [&] { return is_quiet() && (!server_ || server_->workers() == 0); };
    if (until == TimePoint::max()) {
      group_->left_.wait(lock, is_left);
    } else if (!group_->left_.wait_until(lock, until, is_left)) {
      group_->left_.wait(lock, is_quiet);
    }
    if (server_) workers = server_->take_threads();
  }
  for (std::thread& thread : workers.returned) thread.join();
  return std::move(workers.stuck);
}

void Peer::tell_left() {
  if (is_end_awaited_) group_->left_.notify_all();
}

}  // namespace remsh::rpc
