#include "messages/message_stream.hpp"

#include "base/format.hpp"
#include "base/os_words.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <vector>

namespace remsh::messages {

namespace {

/// The bytes that one call moves at most.
constexpr std::size_t most_at_once = std::size_t{4} * 1024 * 1024;

Failure closed_here() {
  return {Errc::connection_lost, "this program has closed the connection", 0, DisconnectReason::closed_here};
}

Failure ended_at(const Transport& transport, bool between_messages) {
  Failure end{Errc::connection_lost, "the other side has closed the connection to " + transport.description(), 0};
  if (between_messages) {
    end.reason = DisconnectReason::closed_there;
  } else {
    end.message = "the connection to " + transport.description() + " ended inside a message";
  }
  return end;
}

}  // namespace

std::shared_ptr<MessageStream> MessageStream::over(std::unique_ptr<Transport> transport) {
  return std::shared_ptr<MessageStream>(new MessageStream(std::move(transport)));
}

std::shared_ptr<MessageStream> MessageStream::over_socket(UniqueFd socket, std::string description) {
  auto transport = std::make_unique<SocketTransport>(std::move(socket), std::move(description), false);
  SocketTransport* const its_socket = transport.get();
  auto stream = over(std::move(transport));
  stream->socket_ = its_socket;
  return stream;
}

MessageStream::~MessageStream() {
  if (loop_ == nullptr) return;
  transport_->disarm_for_good(loop_->watcher());
  loop_->remove(slot_);
}

// Receiving.

Failure MessageStream::end_receiving(Failure why) { return *(no_more_ = std::move(why)); }

Failure MessageStream::lost(int error) const {
  std::string words = transport_->failure_words();
  if (words.empty()) words = os_words(error);
  return {Errc::connection_lost, formatted("lost the connection to {}: {}", transport_->description(), words), error};
}

/// Why nothing more comes, when the transport has ended.
Failure MessageStream::why_ended() {
  {
    const std::lock_guard lock(mutex_);
    if (broken_) return *broken_;
  }
  return is_closed() ? closed_here() : ended_at(*transport_, reader_.is_between_messages());
}

Result<bool> MessageStream::look(std::uint64_t most, Duration wait) {
  if (no_more_) return *no_more_;
  if (is_closed()) return why_ended();
  for (std::size_t moved = 0;;) {
    switch (reader_.next(most)) {
      case MessageReader::Next::message:
      case MessageReader::Next::too_large: return true;
      case MessageReader::Next::bytes: break;
      case MessageReader::Next::broken:
        close();
        return end_receiving(breach(
            formatted("a message of a negative size came; closed the connection to {}", transport_->description())));
    }
    if (moved >= most_at_once) return false;
    const IoResult result = transport_->read_some(reader_.room(), moved > 0 ? Duration::zero() : wait);
    switch (result.status) {
      case IoResult::Status::ok:
        reader_.received(result.bytes);
        moved += result.bytes;
        break;
      case IoResult::Status::would_block: return false;
      case IoResult::Status::end: return end_receiving(why_ended());
      case IoResult::Status::failed: return end_receiving(lost(result.error));
    }
  }
}

Result<bool> MessageStream::receive(std::uint64_t most, Duration wait) {
  auto looked = look(most, wait);
  if (!looked || !*looked || reader_.size() <= most) return looked;
  return end_receiving(
      {Errc::too_large,
       formatted("a message of {} bytes came, over the limit of {}: nothing more can be received from {}",
                 reader_.size(), most, transport_->description()),
       0});
}

// Sending.

void MessageStream::break_off(Failure why) noexcept {
  broken_ = std::move(why);
  transport_->shutdown();
}

/// Writes what is left of a message. Returns true when all of it is written.
bool MessageStream::write(std::string_view header, BytesView body, std::size_t& written) {
  for (std::size_t moved = 0; !broken_ && moved < most_at_once;) {
    const std::size_t of_header = std::min(written, header.size());
    const std::array<std::string_view, 2> parts{header.substr(of_header),
                                                body.substr(written - of_header, most_at_once)};
    if (parts[0].empty() && parts[1].empty()) return true;
    const IoResult result = transport_->write_some(parts);
    if (result.status == IoResult::Status::would_block) return false;
    if (result.status != IoResult::Status::ok) {
      break_off(is_closed_ ? closed_here() : lost(result.error != 0 ? result.error : EPIPE));
      return false;
    }
    written += result.bytes;
    moved += result.bytes;
  }
  return !broken_ && written == header.size() + body.size();
}

Result<bool> MessageStream::send(BytesView message, std::shared_ptr<Outgoing>& rest,
                                 const std::shared_ptr<Bell>& bell) {
  std::string header = header_of(message.size());
  const std::lock_guard lock(mutex_);
  if (is_closed_ && !broken_) return closed_here();
  std::size_t written = 0;
  if (out_.empty() && write(header, message, written)) return true;
  if (broken_) return *broken_;
  try {
    rest = std::make_shared<Outgoing>(message, std::move(header), bell);
    rest->written = written;
    out_.push_back(rest);
  } catch (...) {
    rest.reset();
    if (written > 0) break_off({Errc::connection_lost, "no memory for the rest of a message", 0});
    throw;
  }
  return false;
}

/// Writes what is queued, as far as possible; returns what is over with it.
std::vector<std::shared_ptr<Outgoing>> MessageStream::write_queued() {
  std::vector<std::shared_ptr<Outgoing>> over;
  over.reserve(out_.size());
  std::size_t moved = 0;
  while (!out_.empty() && moved < most_at_once) {
    const std::shared_ptr<Outgoing>& first = out_.front();
    const std::size_t before = first->written;
    const bool is_written = write(first->header, first->body, first->written);
    moved += first->written - before;
    if (!is_written) break;
    first->is_written = true;
    over.push_back(first);
    out_.pop_front();
  }
  if (broken_) {
    over.insert(over.end(), out_.begin(), out_.end());
    out_.clear();
  }
  return over;
}

/// One of the senders waits for the transport, and the others for what it, or any other, writes. Each looks again after
/// a slice, since another may have written its message without waking it.
void MessageStream::wait_for_room(const Outgoing& message, Duration wait) {
  wait = std::min(wait, Transport::slice);
  std::unique_lock lock(mutex_);
  if (message.is_written || broken_ || is_closed_) return;
  ++senders_;
  if (is_waited_for_) {
    changed_.wait_for(lock, wait);
  } else {
    is_waited_for_ = true;
    lock.unlock();
    transport_->wait(Ready::write, wait);
    lock.lock();
    is_waited_for_ = false;
    changed_.notify_one();
  }
  --senders_;
}

Result<bool> MessageStream::go_on(const std::shared_ptr<Outgoing>& rest, Duration wait) {
  if (wait > Duration::zero()) wait_for_room(*rest, wait);
  std::vector<std::shared_ptr<Outgoing>> over;
  Result<bool> is_over = [&]() -> Result<bool> {
    const std::lock_guard lock(mutex_);
    over = write_queued();
    if (rest->is_written) return true;
    if (broken_) return *broken_;
    return false;
  }();
  if (over.empty()) return is_over;
  changed_.notify_all();
  for (const auto& message : over) {
    if (message != rest && message->bell) message->bell->ring();
  }
  return is_over;
}

bool MessageStream::withdraw(const std::shared_ptr<Outgoing>& rest) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(room_bells_, rest->bell);
  std::erase(out_, rest);
  if (rest->is_written) return true;
  if (rest->written > 0 && !broken_) {
    is_closed_ = true;
    break_off({Errc::connection_lost, {}, 0, DisconnectReason::closed_here});
    try {
      broken_->message = "this program has closed the connection, as a message was sent only in part";
    } catch (const std::bad_alloc&) {  // then without words
    }
  }
  return false;
}

// Without a thread that waits.

void MessageStream::use(Loop& loop) {
  if (loop_ != nullptr) return;
  slot_ = loop.add(weak_from_this());
  loop_ = &loop;
}

void MessageStream::arm_again() {
  const Ready wanted = (input_bell_ ? Ready::read : Ready::none) | (room_bells_.empty() ? Ready::none : Ready::write);
  transport_->arm(loop_->watcher(), wanted, Loop::token(slot_, ++number_));
}

void MessageStream::watch_for_input(Loop& loop, std::shared_ptr<Bell> bell) {
  const std::lock_guard lock(mutex_);
  use(loop);
  input_bell_ = std::move(bell);
  arm_again();
}

void MessageStream::watch_for_room(Loop& loop, std::shared_ptr<Bell> bell) {
  const std::lock_guard lock(mutex_);
  use(loop);
  if (std::find(room_bells_.begin(), room_bells_.end(), bell) == room_bells_.end()) {
    room_bells_.push_back(std::move(bell));
  }
  arm_again();
}

void MessageStream::on_ready(std::uint32_t number, Ready directions) {
  std::vector<std::shared_ptr<Bell>> bells;
  {
    const std::lock_guard lock(mutex_);
    if (loop_ == nullptr || number != number_) return;
    if (has(directions, Ready::write)) bells.swap(room_bells_);
    // With TLS, what must be written before more can be read is an event as well, and reading does it.
    if (input_bell_) bells.push_back(std::move(input_bell_));
    arm_again();
  }
  for (const auto& bell : bells) bell->ring();
}

void MessageStream::close() noexcept {
  const std::lock_guard lock(closing_mutex_);
  if (is_released_) return;
  is_closed_ = true;
  transport_->shutdown();
}

Result<UniqueFd> MessageStream::release() {
  const std::lock_guard lock(mutex_);
  if (is_closed_) return closed_here();
  if (socket_ == nullptr) {
    return Failure{Errc::invalid_argument, "it has no descriptor that another process could use", 0};
  }
  if (!out_.empty() || senders_ > 0 || !reader_.is_between_messages()) {
    return Failure{Errc::busy, "a part of a message is here", 0};
  }
  if (loop_ != nullptr) {
    transport_->disarm_for_good(loop_->watcher());
    std::exchange(loop_, nullptr)->remove(slot_);
  }
  const std::lock_guard closing(closing_mutex_);
  if (is_closed_) return closed_here();
  is_closed_ = true;
  is_released_ = true;
  return socket_->release();
}

}  // namespace remsh::messages
