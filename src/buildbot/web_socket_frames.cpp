#include "buildbot/web_socket_frames.hpp"

#include "base/big_endian.hpp"
#include "base/format.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace remsh::buildbot {

namespace {

constexpr std::uint8_t final_bit = 0x80;
constexpr std::uint8_t reserved_bits = 0x70;
constexpr std::uint8_t opcode_bits = 0x0f;
constexpr std::uint8_t mask_bit = 0x80;
constexpr std::uint8_t length_bits = 0x7f;
constexpr std::uint8_t longest_in_byte = 125;
constexpr std::uint8_t length_of_2 = 126;  // instead of a length: it follows in 2 bytes
constexpr std::uint8_t length_of_8 = 127;

namespace opcode {
constexpr std::uint8_t continuation = 0x0;
constexpr std::uint8_t text = 0x1;
constexpr std::uint8_t binary = 0x2;
constexpr std::uint8_t close = 0x8;
constexpr std::uint8_t ping = 0x9;
constexpr std::uint8_t pong = 0xa;
}  // namespace opcode

bool is_control_frame(std::uint8_t code) { return code >= opcode::close; }

std::uint8_t opcode_of(WebSocketMessage::Kind kind) {
  switch (kind) {
    case WebSocketMessage::Kind::binary: return opcode::binary;
    case WebSocketMessage::Kind::text: return opcode::text;
    case WebSocketMessage::Kind::ping: return opcode::ping;
    case WebSocketMessage::Kind::pong: return opcode::pong;
    case WebSocketMessage::Kind::close: return opcode::close;
  }
  return opcode::binary;
}

/// Of an opcode that begins a message.
std::optional<WebSocketMessage::Kind> kind_of(std::uint8_t code) {
  switch (code) {
    case opcode::binary: return WebSocketMessage::Kind::binary;
    case opcode::text: return WebSocketMessage::Kind::text;
    case opcode::ping: return WebSocketMessage::Kind::ping;
    case opcode::pong: return WebSocketMessage::Kind::pong;
    case opcode::close: return WebSocketMessage::Kind::close;
    default: return std::nullopt;
  }
}

}  // namespace

bool FrameReader::fail(std::string why) {
  failed_ = breach(formatted("the frame of a WebSocket {}", why));
  bytes_ = {};
  at_ = 0;
  frame_.reset();
  unfinished_.reset();
  return false;
}

Result<std::optional<WebSocketMessage>> FrameReader::next() {
  std::optional<WebSocketMessage> message;
  while (!message && (frame_ || read_header())) {
    take_payload();
    if (frame_->left > 0) break;
    message = end_frame();
  }
  if (failed_) return *failed_;
  drop_used();
  return message;
}

/// Returns false if it has not all come, or if it fails.
bool FrameReader::read_header() {
  const BytesView rest = BytesView(bytes_).substr(at_);
  constexpr std::size_t shortest = 2;
  if (failed_ || rest.size() < shortest) return false;
  const auto first = static_cast<std::uint8_t>(rest[0]);
  const auto second = static_cast<std::uint8_t>(rest[1]);
  if (!check_kind(first, second)) return false;
  Frame frame;
  frame.opcode = first & opcode_bits;
  frame.is_final = (first & final_bit) != 0;
  frame.left = second & length_bits;
  const std::size_t more = frame.left == length_of_2 ? 2 : frame.left == length_of_8 ? 8 : 0;
  if (rest.size() < shortest + more) return false;
  if (more > 0) frame.left = from_big_endian(rest.substr(shortest, more));
  if (!check_length(frame.opcode, frame.left, more)) return false;
  const BytesView mask = rest.substr(shortest + more, frame.mask.size());
  if (mask.size() < frame.mask.size()) return false;
  std::copy(mask.begin(), mask.end(), frame.mask.begin());
  at_ += shortest + more + mask.size();
  if (const auto kind = kind_of(frame.opcode)) {
    if (!is_control_frame(frame.opcode)) unfinished_.emplace();
    (is_control_frame(frame.opcode) ? control_ : *unfinished_).kind = *kind;
  }
  frame_ = frame;
  return true;
}

/// What the first two bytes say.
bool FrameReader::check_kind(std::uint8_t first, std::uint8_t second) {
  const std::uint8_t code = first & opcode_bits;
  if ((first & reserved_bits) != 0) return fail("has a reserved bit");
  if (code != opcode::continuation && !kind_of(code)) return fail("has a reserved opcode");
  if ((second & mask_bit) == 0) return fail("is not masked");
  if (is_control_frame(code)) {
    if ((first & final_bit) == 0) return fail("is a fragment of a control message");
    if ((second & length_bits) > longest_in_byte) return fail("is a control frame of more than 125 bytes");
    return true;
  }
  if (code == opcode::continuation && !unfinished_) return fail("continues a message that has not begun");
  if (code != opcode::continuation && unfinished_) return fail("begins a message inside another");
  return true;
}

/// `bytes`: of the length, if it is not in the second byte of the frame.
bool FrameReader::check_length(std::uint8_t code, std::uint64_t length, std::size_t bytes) {
  const bool is_shortest =
      bytes == 0 || length > (bytes == 2 ? longest_in_byte : std::numeric_limits<std::uint16_t>::max());
  if (!is_shortest) return fail("has a length that is not in its shortest form");
  const std::size_t have = unfinished_ && code == opcode::continuation ? unfinished_->payload.size() : 0;
  if (!is_control_frame(code) && length > max_message_ - have) {
    return fail(formatted("makes a message of more than {} bytes", max_message_));
  }
  return true;
}

/// Takes what has come of the payload.
void FrameReader::take_payload() {
  Bytes& to = is_control_frame(frame_->opcode) ? control_.payload : unfinished_->payload;
  const BytesView part = BytesView(bytes_).substr(at_).substr(
      0, static_cast<std::size_t>(std::min<std::uint64_t>(frame_->left, bytes_.size() - at_)));
  const std::size_t begin = to.size();
  to += part;
  for (std::size_t i = begin; i < to.size(); ++i) {
    to[i] = static_cast<char>(to[i] ^ frame_->mask[frame_->at++ % frame_->mask.size()]);
  }
  frame_->left -= part.size();
  at_ += part.size();
}

/// The message that the frame completes, if it does.
std::optional<WebSocketMessage> FrameReader::end_frame() {
  const Frame frame = *std::exchange(frame_, std::nullopt);
  if (is_control_frame(frame.opcode)) return std::exchange(control_, {});
  if (!frame.is_final) return std::nullopt;
  return std::exchange(unfinished_, std::nullopt);
}

/// Moves the bytes that are left only if they are fewer than the used ones, so that each byte costs one move at most.
void FrameReader::drop_used() {
  if (at_ < bytes_.size() - at_) return;
  bytes_.erase(0, at_);
  at_ = 0;
}

void append_frame(Bytes& to, WebSocketMessage::Kind kind, BytesView payload) {
  const std::uint8_t code = opcode_of(kind);
  assert(!is_control_frame(code) || payload.size() <= longest_in_byte);
  append_big_endian(to, final_bit | code, 1);
  if (payload.size() <= longest_in_byte) {
    append_big_endian(to, payload.size(), 1);
  } else if (payload.size() <= std::numeric_limits<std::uint16_t>::max()) {
    append_big_endian(to, length_of_2, 1);
    append_big_endian(to, payload.size(), 2);
  } else {
    append_big_endian(to, length_of_8, 1);
    append_big_endian(to, payload.size(), 8);
  }
  to += payload;
}

}  // namespace remsh::buildbot
