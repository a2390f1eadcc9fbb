// The server's side of a WebSocket (RFC 6455), as far as Buildbot's workers use it; no I/O.
#pragma once

#include "base/result.hpp"
#include "base/secret_text.hpp"

#include <remsh/base/bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace remsh::buildbot {

/// Reads the HTTP request that asks for a WebSocket. It comes from a stranger: the head has at most 8 KiB. One thread
/// at a time.
///
/// A request with an Origin header is refused, whatever its value: browsers always send one and workers never do, so a
/// web page cannot reach a listener on the loopback. Extensions and subprotocols are not looked at, and never agreed
/// to.
class UpgradeReader {
 public:
  static constexpr std::size_t max_head = 8192;

  UpgradeReader() = default;
  UpgradeReader(const UpgradeReader&) = delete;
  UpgradeReader& operator=(const UpgradeReader&) = delete;
  ~UpgradeReader() = default;  ///< wipes the password

  enum class State : std::uint8_t {
    need_more,
    complete,
    refused,  ///< it is no request for a WebSocket: see status() and why()
  };

  /// Takes the next bytes of the peer; after `complete` and `refused` it ignores them. What is wrong is refused at its
  /// first byte or at the end of its line, however the bytes come.
  State feed(BytesView bytes);

  // Of a complete request.

  /// The user and the password of its Basic authorization, of any bytes; both empty if it has none that is well formed.
  [[nodiscard]] const std::string& user() const noexcept { return user_; }
  [[nodiscard]] std::string_view password() const noexcept { return password_.view(); }

  /// The answer that makes the connection a WebSocket. Fails if libcrypto has no SHA-1.
  [[nodiscard]] Result<Bytes> answer() const;

  /// The bytes that came behind the head.
  [[nodiscard]] BytesView rest() const noexcept { return rest_; }

  // Of a refused request.

  /// 400, 403, 405, 414, 426, 431, 505; 0 before.
  [[nodiscard]] int status() const noexcept { return status_; }
  /// For the log: a sentence with nothing of the request in it.
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

 private:
  static constexpr std::size_t longest_path = 1024;

  State refuse(int status, std::string why);
  State take(char byte);
  State end_line();
  State take_request(std::string_view line);
  State take_header(std::string_view line);
  State take_once(std::string_view name, std::string_view value);
  State end_head();
  void take_authorization(std::string_view value);

  State state_ = State::need_more;
  std::size_t size_ = 0;    // of the head so far
  SecretText line_;         // so far, without its end
  bool after_cr_ = false;   // which only a line feed may follow
  bool is_request_ = true;  // the line is the first
  unsigned seen_ = 0;       // a bit for each header that may come once
  bool has_upgrade_ = false;
  bool has_connection_ = false;
  std::string user_;
  SecretText password_;
  std::string key_;
  Bytes rest_;
  int status_ = 0;
  std::string why_;
};

/// A complete HTTP answer that refuses a request with a status of UpgradeReader, or with 401; the connection is closed
/// after it. 401 names the Basic scheme, 405 the method GET, 426 the protocol and its version.
Bytes http_refusal(int status);

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
