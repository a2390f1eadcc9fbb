// The frames of a WebSocket (RFC 6455) on the side of the server, as far as Buildbot's workers use them; no I/O.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace remsh::buildbot {

/// A message, or a control frame, of the peer.
struct WebSocketMessage {
  enum class Kind : std::uint8_t { binary, text, ping, pong, close };
  Kind kind = Kind::binary;
  Bytes payload = {};
};

/// Frames of a client, put together to messages. One thread at a time.
///
/// What a payload means is not looked at: that a text is UTF-8, or what a close says. A close is a message like
/// another, and frames behind it are read as well.
class FrameReader {
 public:
  /// `max_message`: bytes of a message, all its fragments together.
  explicit FrameReader(std::size_t max_message) : max_message_(max_message) {}

  void feed(BytesView bytes) {
    if (!failed_) bytes_.append(bytes);
  }

  /// The next message; nullopt if more bytes are needed. Memory is used for bytes that have come, not for lengths that
  /// are announced. Fails with protocol_error: for a frame that is not masked, has a reserved bit or opcode, is longer
  /// than max_message, a fragmented or long control frame, a fragment out of place, a length that is not in its
  /// shortest form. After a failure it fails again.
  Result<std::optional<WebSocketMessage>> next();

 private:
  struct Frame {
    std::uint8_t opcode = 0;
    bool is_final = true;
    std::array<char, 4> mask = {};
    std::uint64_t left = 0;  // of its payload
    std::size_t at = 0;      // of the next byte in the payload
  };

  bool fail(std::string why);
  bool read_header();
  bool check_kind(std::uint8_t first, std::uint8_t second);
  bool check_length(std::uint8_t opcode, std::uint64_t length, std::size_t bytes);
  void take_payload();
  std::optional<WebSocketMessage> end_frame();
  void drop_used();

  std::size_t max_message_;
  Bytes bytes_;
  std::size_t at_ = 0;          // of the first byte in bytes_ that is not used yet
  std::optional<Frame> frame_;  // whose header has come
  WebSocketMessage control_;    // so far, if frame_ is a control frame
  std::optional<WebSocketMessage> unfinished_;
  std::optional<Failure> failed_;
};

/// Appends a frame of a server: one that is not masked, with the whole message. The payload of a control frame has at
/// most 125 bytes.
void append_frame(Bytes& to, WebSocketMessage::Kind kind, BytesView payload);

}  // namespace remsh::buildbot
