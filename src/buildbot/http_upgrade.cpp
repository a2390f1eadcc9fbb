#include "buildbot/http_upgrade.hpp"

#include "base/base64.hpp"
#include "base/digest.hpp"
#include "base/format.hpp"
#include "base/wipe.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace remsh::buildbot {

namespace {

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

}  // namespace

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

}  // namespace remsh::buildbot
