#include "buildbot/web_socket.hpp"

#include "base/base64.hpp"
#include "base/big_endian.hpp"
#include "base/digest.hpp"
#include "base/format.hpp"
#include "base/wipe.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace remsh::buildbot {

namespace {

// --- HTTP

constexpr std::size_t key_size = 16;
constexpr std::string_view accept_suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, section 1.3
constexpr std::string_view only_version = "13";

/// The headers that are looked at and may come once. The others that are looked at are lists, or refused at once.
enum class Once : std::uint8_t { host, authorization, content_length, key, version };

constexpr std::array<std::pair<std::string_view, Once>, 5> once_names{{
    {"host", Once::host},
    {"authorization", Once::authorization},
    {"content-length", Once::content_length},
    {"sec-websocket-key", Once::key},
    {"sec-websocket-version", Once::version},
}};

constexpr unsigned bit(Once header) { return 1U << static_cast<unsigned>(header); }

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_same(std::string_view a, std::string_view lower_case) {
  return std::equal(a.begin(), a.end(), lower_case.begin(), lower_case.end(),
                    [](char c, char wanted) { return lower(c) == wanted; });
}

bool is_control(char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }

bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || others.find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

/// Whether a list with commas has this token.
bool has_token(std::string_view list, std::string_view lower_case) {
  for (;;) {
    const auto comma = list.find(',');
    if (is_same(trimmed(list.substr(0, comma)), lower_case)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

/// "HTTP/", a digit, a dot, a digit.
bool is_http_version(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
}

bool is_path(std::string_view text) {
  return text.starts_with('/') && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 405: return "Method Not Allowed";
    case 414: return "URI Too Long";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 505: return "HTTP Version Not Supported";
    default: return {};
  }
}

// --- frames

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

// UpgradeReader

UpgradeReader::State UpgradeReader::refuse(int status, std::string why) {
  status_ = status;
  why_ = std::move(why);
  user_.clear();
  password_ = {};
  line_ = {};
  return State::refused;
}

UpgradeReader::State UpgradeReader::feed(BytesView bytes) {
  if (state_ != State::need_more) return state_;
  while (state_ == State::need_more && !bytes.empty()) {
    state_ = take(bytes.front());
    bytes.remove_prefix(1);
    if (++size_ < max_head || state_ != State::need_more) continue;
    const bool is_path_long = is_request_ && line_.view().starts_with("GET ");
    state_ = is_path_long ? refuse(414, "the path of the request is too long")
                          : refuse(431, formatted("the head of the request has more than {} bytes", max_head));
  }
  if (state_ == State::complete) rest_ = bytes;
  return state_;
}

UpgradeReader::State UpgradeReader::take(char byte) {
  if (after_cr_) {
    after_cr_ = false;
    return byte == '\n' ? end_line() : refuse(400, "a carriage return is not the end of a line");
  }
  if (byte == '\n') return refuse(400, "a line ends without a carriage return");
  if (byte == '\r') {
    after_cr_ = true;
    return State::need_more;
  }
  if (is_control(byte) && byte != '\t') return refuse(400, "the head has a control character");
  line_ += {&byte, 1};
  return State::need_more;
}

UpgradeReader::State UpgradeReader::end_line() {
  const SecretText line = std::move(line_);  // which is empty then
  if (std::exchange(is_request_, false)) return take_request(line.view());
  return line.view().empty() ? end_head() : take_header(line.view());
}

UpgradeReader::State UpgradeReader::take_request(std::string_view line) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return refuse(400, "the first line is no request");
  const std::string_view path = line.substr(first + 1, last - first - 1);
  const std::string_view its_version = line.substr(last + 1);
  if (!is_token(line.substr(0, first)) || !is_path(path) || !is_http_version(its_version)) {
    return refuse(400, "the first line is no request");
  }
  if (its_version != "HTTP/1.1") return refuse(505, "the request is not of HTTP/1.1");
  if (line.substr(0, first) != "GET") return refuse(405, "the method of the request is not GET");
  if (path.size() > longest_path) return refuse(414, "the path of the request is too long");
  return State::need_more;
}

UpgradeReader::State UpgradeReader::take_header(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with('\t')) return refuse(400, "a header is folded");
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return refuse(400, "a header has no colon");
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return refuse(400, "the name of a header is malformed");
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (is_same(name, "origin")) return refuse(403, "the request has the header Origin, so it is of a web page");
  if (is_same(name, "transfer-encoding")) return refuse(400, "the request announces a body");
  if (is_same(name, "upgrade")) has_upgrade_ = has_upgrade_ || has_token(value, "websocket");
  if (is_same(name, "connection")) has_connection_ = has_connection_ || has_token(value, "upgrade");
  return take_once(name, value);
}

UpgradeReader::State UpgradeReader::take_once(std::string_view name, std::string_view value) {
  const auto* const found =
      std::find_if(once_names.begin(), once_names.end(), [&](const auto& each) { return is_same(name, each.first); });
  if (found == once_names.end()) return State::need_more;
  if ((seen_ & bit(found->second)) != 0) return refuse(400, formatted("the header {} comes twice", found->first));
  seen_ |= bit(found->second);
  switch (found->second) {
    case Once::host: break;
    case Once::authorization: take_authorization(value); break;
    case Once::content_length:
      if (value != "0") return refuse(400, "the request announces a body");
      break;
    case Once::key: {
      const auto key = from_base64(value);
      if (!key || key->size() != key_size) return refuse(400, "the key of the WebSocket is not 16 bytes in base64");
      key_ = value;
      break;
    }
    case Once::version:
      if (value != only_version) return refuse(426, "the version of the WebSocket is not 13");
      break;
  }
  return State::need_more;
}

void UpgradeReader::take_authorization(std::string_view value) {
  const auto blank = value.find(' ');
  if (blank == std::string_view::npos || !is_same(value.substr(0, blank), "basic")) return;
  auto both = from_base64(trimmed(value.substr(blank)));
  if (!both) return;
  const auto colon = both->find(':');
  if (colon != Bytes::npos) {
    user_ = std::string_view(*both).substr(0, colon);
    password_ += std::string_view(*both).substr(colon + 1);
  }
  wipe(*both);
}

UpgradeReader::State UpgradeReader::end_head() {
  if (!has_upgrade_ || !has_connection_) return refuse(426, "the request does not ask for a WebSocket");
  if ((seen_ & bit(Once::version)) == 0) return refuse(426, "the request names no version of the WebSocket");
  if ((seen_ & bit(Once::key)) == 0) return refuse(400, "the request has no key of a WebSocket");
  if ((seen_ & bit(Once::host)) == 0) return refuse(400, "the request has no header Host");
  return State::complete;
}

Result<Bytes> UpgradeReader::answer() const {
  assert(state_ == State::complete);
  const auto sum = digest(Hash::sha1, key_ + Bytes(accept_suffix));
  if (!sum) return Failure{Errc::local_os_error, "a WebSocket needs SHA-1, which libcrypto does not have"};
  return formatted(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n\r\n",
      to_base64(*sum));
}

Bytes http_refusal(int status) {
  const std::string_view reason = reason_phrase(status);
  assert(!reason.empty());
  Bytes answer = formatted("HTTP/1.1 {} {}\r\n", status, reason);
  if (status == 401) answer += "WWW-Authenticate: Basic realm=\"remsh\"\r\n";
  if (status == 405) answer += "Allow: GET\r\n";
  if (status == 426) answer += formatted("Upgrade: websocket\r\nSec-WebSocket-Version: {}\r\n", only_version);
  answer += status == 426 ? "Connection: Upgrade, close\r\n" : "Connection: close\r\n";
  return answer += "Content-Length: 0\r\n\r\n";
}

// FrameReader

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
