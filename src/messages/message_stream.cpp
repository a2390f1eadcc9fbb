#include "messages/message_stream.hpp"

#include "base/format.hpp"
#include "base/os_words.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace remsh::messages {

namespace {

Failure ended_at(const Transport& transport, bool between_messages) {
  Failure end{Errc::connection_lost, "the other side has closed the connection to " + transport.description(), 0};
  if (between_messages) {
    end.reason = DisconnectReason::closed_there;
  } else {
    end.message = "the connection to " + transport.description() + " ended inside a message";
  }
  return end;
}

void ring(const std::vector<std::shared_ptr<Outgoing>>& messages) {
  for (const auto& message : messages) {
    if (message->bell) message->bell->ring();
  }
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

Result<bool> MessageStream::look(std::uint64_t most, Duration wait) {
  if (no_more_) return *no_more_;
  for (bool has_read = false;; has_read = true) {
    switch (reader_.next(most)) {
      case MessageReader::Next::message:
      case MessageReader::Next::too_large: return true;
      case MessageReader::Next::bytes: break;
      case MessageReader::Next::broken:
        close();
        return end_receiving(breach(
            formatted("a message of a negative size came; closed the connection to {}", transport_->description())));
    }
    const IoResult result = transport_->read_some(reader_.room(), has_read ? Duration::zero() : wait);
    switch (result.status) {
      case IoResult::Status::ok: reader_.received(result.bytes); break;
      case IoResult::Status::would_block: return false;
      case IoResult::Status::end:
        return end_receiving(is_closed() ? Failure{Errc::connection_lost, "this connection was closed here", 0,
                                                   DisconnectReason::closed_here}
                                         : ended_at(*transport_, reader_.is_between_messages()));
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

/// Writes what is left of a message. Returns true when all of it is written.
bool MessageStream::write(std::string_view header, BytesView body, std::size_t& written) {
  while (send_error_ == 0) {
    const std::size_t of_header = std::min(written, header.size());
    const std::array<std::string_view, 2> parts{header.substr(of_header), body.substr(written - of_header)};
    if (parts[0].empty() && parts[1].empty()) return true;
    const IoResult result = transport_->write_some(parts);
    if (result.status == IoResult::Status::ok) {
      written += result.bytes;
      continue;
    }
    if (result.status == IoResult::Status::would_block) return false;
    send_error_ = result.error != 0 ? result.error : EPIPE;
    transport_->shutdown();
  }
  return false;
}

Result<bool> MessageStream::send(BytesView message, std::shared_ptr<Outgoing>& rest,
                                 const std::shared_ptr<Bell>& bell) {
  std::string header = header_of(message.size());
  const std::lock_guard lock(mutex_);
  std::size_t written = 0;
  if (out_.empty() && write(header, message, written)) return true;
  if (send_error_ != 0) return lost(send_error_);
  rest = std::make_shared<Outgoing>(message, std::move(header), bell);
  rest->written = written;
  out_.push_back(rest);
  return false;
}

Result<bool> MessageStream::go_on(const std::shared_ptr<Outgoing>& rest) {
  std::vector<std::shared_ptr<Outgoing>> over;
  Result<bool> is_over = [&]() -> Result<bool> {
    const std::lock_guard lock(mutex_);
    while (!out_.empty()) {
      const std::shared_ptr<Outgoing> first = out_.front();
      if (!write(first->header, first->body, first->written)) break;
      first->is_written = true;
      out_.pop_front();
      if (first != rest) over.push_back(first);
    }
    if (rest->is_written) return true;
    if (send_error_ == 0) return false;
    over.insert(over.end(), out_.begin(), out_.end());
    out_.clear();
    return lost(send_error_);
  }();
  ring(over);
  return is_over;
}

void MessageStream::withdraw(const std::shared_ptr<Outgoing>& rest) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(out_.begin(), out_.end(), rest);
  if (found == out_.end()) return;
  out_.erase(found);
  if (rest->written == 0) return;
  send_error_ = ECANCELED;  // the other side waits for the rest of it
  transport_->shutdown();
}

// Without a thread that waits.

void MessageStream::use(Loop& loop) {
  if (loop_ != nullptr) return;
  loop_ = &loop;
  slot_ = loop.add(weak_from_this());
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
    if (number != number_) return;
    if (has(directions, Ready::write)) bells.swap(room_bells_);
    if (has(directions, Ready::read) && input_bell_) bells.push_back(std::move(input_bell_));
    arm_again();  // for the other direction
  }
  for (const auto& bell : bells) bell->ring();
}

void MessageStream::close() noexcept {
  is_closed_ = true;
  transport_->shutdown();
}

Result<UniqueFd> MessageStream::release() {
  const std::lock_guard lock(mutex_);
  if (socket_ == nullptr)
    return Failure{Errc::invalid_argument, "it has no descriptor that another process could use", 0};
  if (!out_.empty() || !reader_.is_between_messages()) {
    return Failure{Errc::busy, "a part of a message is here", 0};
  }
  if (loop_ != nullptr) transport_->disarm_for_good(loop_->watcher());
  if (loop_ != nullptr) std::exchange(loop_, nullptr)->remove(slot_);
  is_closed_ = true;
  return socket_->release();
}

}  // namespace remsh::messages
