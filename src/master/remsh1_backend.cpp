#include "master/remsh1_backend.hpp"

#include "base/connection_words.hpp"
#include "base/format.hpp"
#include "base/misuse.hpp"
#include "base/text.hpp"
#include "master/errand.hpp"
#include "master/remsh1_turn.hpp"
#include "remsh1/message.hpp"

#include <cassert>
#include <chrono>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// How much output may wait for a slow caller before we stop reading.
constexpr std::size_t max_queued = std::size_t{1024} * 1024;

}  // namespace

// --- the connection

Remsh1Backend::~Remsh1Backend() {
  // No caller is inside: it would own this object.
  link_.close();
  tell_lost();
}

void Remsh1Backend::open(std::unique_ptr<Transport> transport) {
  const std::lock_guard lock(mutex_);
  link_.open(std::move(transport), weak_from_this());
  if (!end_) return;
  Failure failure = std::move(*end_);  // disconnect() was called before
  end_.reset();
  declare_end(std::move(failure));
}

void Remsh1Backend::fail(Failure failure) {
  {
    const std::lock_guard lock(mutex_);
    assert(!link_.is_open());
    if (!end_) end_ = std::move(failure);
    is_closed_ = true;
  }
  tell_lost();
}

std::optional<Failure> Remsh1Backend::lost() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void Remsh1Backend::end_connection(Failure why) {
  const std::lock_guard lock(mutex_);
  declare_end(std::move(why));
}

void Remsh1Backend::wait_until_left() {
  std::unique_lock lock(mutex_);
  if (holder_ == Holder::caller && holding_ == Errand::acting_for()) {
    misuse("a listener is destroyed in a callback of a call on one of its slaves, which it would wait for");
  }
  left_.wait(lock, [this] { return is_closed_ && inside_ == 0; });
}

/// The next operation may have its turn now. If the io thread is completing the turn of a caller that has left, the
/// operation is over when that is done.
void Remsh1Backend::over(OperationsEnds ends) noexcept {
  {
    const std::lock_guard lock(mutex_);
    turn_changed_.notify_all();
    if (holder_ == Holder::io_thread && !is_closed_) {
      unfinished_.add(std::move(ends));
      return;
    }
  }
  ends.note();
}

/// On the loop: the turn that a caller left is complete, or the slave is gone.
void Remsh1Backend::note_finished() noexcept {
  OperationsEnds ends;
  {
    const std::lock_guard lock(mutex_);
    if (holder_ == Holder::io_thread && !is_closed_) return;  // another caller has left meanwhile
    ends = std::move(unfinished_);
  }
  ends.note();
}

/// From here on every operation fails. The io thread closes the transport.
void Remsh1Backend::declare_end(Failure failure) {
  if (end_) return;
  end_ = std::move(failure);
  turn_changed_.notify_all();
  happened_.notify_all();
  if (!link_.is_open()) return;
  // An original slave ends at once if its stream ends inside a box. Otherwise it would spin for ever.
  if (link_.unwritten() != 1) link_.write_last_byte('\0');
  link_.shutdown();
  loop_->post([self = shared_from_this()] { self->close_transport(); });
}

/// The last step of a connection, on the loop.
void Remsh1Backend::close_transport() {
  std::unique_ptr<Transport> transport;
  {
    const std::lock_guard lock(mutex_);
    transport = link_.close();
    is_closed_ = true;
    left_.notify_all();
  }
  transport.reset();
  note_finished();
  owner_.on_end(*this, *end_);  // end_ does not change any more
  tell_lost();
}

void Remsh1Backend::on_ready(std::uint32_t number, Ready directions) {
  {
    const std::lock_guard lock(mutex_);
    if (!link_.begin_event(number) || end_) return;
  }
  // No other thread reads, and only this thread closes the transport.
  constexpr std::size_t size = std::size_t{64} * 1024;
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);  // the stacks of musl are small
  IoResult result;
  if (has(directions, Ready::read)) result = link_.read({buffer.get(), size});
  const std::lock_guard lock(mutex_);
  if (end_) return;
  take_in(result, BytesView(buffer.get(), result.bytes));
  if (end_) return;
  link_.end_event();
  note_written();
  limit_reading();
}

void Remsh1Backend::write(const Box& box) {
  if (end_) return;
  Bytes bytes;
  append_box(bytes, box);
  link_.write(bytes);
  note_written();
}

/// Lets the caller that sends a file go on, if the slave has received enough of it.
void Remsh1Backend::note_written() {
  if (link_.unwritten() < remsh1::max_unwritten) happened_.notify_all();
}

/// Reads no more while a slow caller has too much to take.
void Remsh1Backend::limit_reading() {
  if (!end_) link_.want_bytes(queued_ < max_queued);
}

void Remsh1Backend::take_in(const IoResult& result, BytesView bytes) {
  switch (result.status) {
    case IoResult::Status::would_block: return;
    case IoResult::Status::failed:
      return declare_end(
          link_.write_failed().value_or(remsh1::lost_because(connection_broke("read", result.error), result.error)));
    case IoResult::Status::end:
      return declare_end(link_.write_failed().value_or(
          remsh1::lost_because(decoder_.is_inside_box() ? cut_in_message : closed_without_goodbye)));
    case IoResult::Status::ok: break;
  }
  decoder_.feed(bytes);
  while (!end_ && decoder_.next()) {
    auto event = session_.feed(decoder_.box().copy());
    if (event) {
      take(std::move(*event));
    } else {
      Failure failure = std::move(event).failure();
      failure.reason = DisconnectReason::misbehaved;
      declare_end(std::move(failure));
    }
  }
  if (decoder_.error() != BoxError::none) {
    declare_end({Errc::protocol_error, formatted("the slave sent {}", to_string(decoder_.error())), 0,
                 DisconnectReason::misbehaved});
  }
}

/// Passes one event to the caller that has the turn. If that caller has left, continues its turn instead.
void Remsh1Backend::take(Event event) {
  if (event.reply) write(*event.reply);
  if (holder_ == Holder::caller) {
    queued_ += remsh1::weight(event);
    events_.push_back(std::move(event));
    happened_.notify_all();
    return;
  }
  if (event.kind == Event::Kind::failed && is_vital_) {
    return declare_end(remsh1::lost_because("it cannot go back to its directory: " + without_controls(event.text)));
  }
  continue_turn();
}

/// Continues a turn whose caller has left by one step, if the slave is ready for it.
void Remsh1Backend::continue_turn() {
  assert(holder_ == Holder::io_thread);
  if (end_) return;
  if (session_.is_sending()) return write(session_.finish());
  if (!session_.is_idle()) return;
  if (last_calls_.empty()) {
    holder_ = Holder::nobody;
    turn_changed_.notify_all();
    if (!unfinished_.empty()) loop_->post([self = shared_from_this()] { self->note_finished(); });
    return;
  }
  LastCall last = std::move(last_calls_.front());
  last_calls_.pop_front();
  is_vital_ = last.is_vital;
  write(session_.begin(std::move(last.command), std::move(last.arguments)));
}

}  // namespace remsh
