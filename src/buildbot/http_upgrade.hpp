// The HTTP request with which a Buildbot worker asks for a WebSocket (RFC 6455), and its answers; no I/O.
#pragma once

#include "base/result.hpp"
#include "base/secret_text.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
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

}  // namespace remsh::buildbot
