#include "master/byte_link.hpp"

#include "base/connection_words.hpp"

#include <string_view>

namespace remsh {

namespace {

/// How many written bytes stay in front of the others before they are removed.
constexpr std::size_t max_written = std::size_t{256} * 1024;

}  // namespace

void ByteLink::open(std::unique_ptr<Transport> transport, std::weak_ptr<Watched> owner) {
  slot_ = loop_->add(std::move(owner));
  transport_ = std::move(transport);
  arm();
}

void ByteLink::want_bytes(bool wanted) {
  wants_bytes_ = wanted;
  arm();
}

void ByteLink::write(BytesView bytes) {
  out_.append(bytes);
  flush();
  arm();
}

void ByteLink::write_last_byte(char other) {
  if (!transport_) return;
  const std::string_view one =
      unwritten() == 0 ? std::string_view(&other, 1) : std::string_view(out_).substr(written_, 1);
  transport_->write_some({&one, 1});
}

bool ByteLink::begin_event(std::uint32_t number) noexcept {
  if (number != number_ || !transport_) return false;
  armed_ = Ready::none;  // an event disarms both directions
  return true;
}

void ByteLink::end_event() {
  flush();
  arm();
}

std::unique_ptr<Transport> ByteLink::close() noexcept {
  if (!transport_) return nullptr;
  transport_->disarm_for_good(loop_->watcher());
  loop_->remove(slot_);
  out_ = Bytes();
  written_ = 0;
  return std::move(transport_);
}

void ByteLink::arm() {
  if (!transport_) return;
  const Ready wanted =
      (wants_bytes_ ? Ready::read : Ready::none) | (unwritten() > 0 && !write_failed_ ? Ready::write : Ready::none);
  if (wanted == armed_) return;
  armed_ = wanted;
  transport_->arm(loop_->watcher(), wanted, Loop::token(slot_, ++number_));
}

void ByteLink::flush() {
  if (!transport_) return;
  while (unwritten() > 0 && !write_failed_) {
    const std::string_view rest = std::string_view(out_).substr(written_);
    const IoResult result = transport_->write_some({&rest, 1});
    if (result.status == IoResult::Status::would_block) break;
    if (result.status == IoResult::Status::ok) {
      written_ += result.bytes;
      continue;
    }
    // What the other side sent before it closed can still be read: the reader finds the end.
    write_failed_ = Failure{Errc::connection_lost, connection_broke("write", result.error), result.error};
    transport_->shutdown();
  }
  if (write_failed_ || unwritten() == 0) {
    out_ = Bytes();
    written_ = 0;
  } else if (written_ > max_written) {
    out_.erase(0, written_);
    written_ = 0;
  }
}

}  // namespace remsh
