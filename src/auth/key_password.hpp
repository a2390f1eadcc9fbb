// Password: what a worker of Buildbot proves its name by, in place of a key.
#pragma once

#include "base/secret_text.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <string>

namespace remsh::auth {

/// 1 to 256 bytes that both sides know. A value type with constant-time comparison. Its memory is wiped when it is
/// destroyed. It has no stream operator and no formatter.
class Password {
 public:
  static constexpr std::size_t max_size = 256;

  /// nullopt unless there are 1 to 256 bytes.
  static std::optional<Password> from_bytes(BytesView bytes) {
    if (bytes.empty() || bytes.size() > max_size) return std::nullopt;
    Password password;
    password.text_ += bytes;
    return password;
  }

  Password(const Password& other) { text_ += other.bytes(); }
  Password(Password&& other) noexcept = default;
  Password& operator=(const Password& other) { return *this = Password(other); }
  Password& operator=(Password&& other) noexcept = default;
  ~Password() = default;

  /// For computations. The view is valid as long as the password.
  [[nodiscard]] BytesView bytes() const noexcept { return text_.view(); }

  /// True if a peer's text is the password. The time depends on the size of that text alone.
  [[nodiscard]] bool matches(BytesView text) const noexcept {
    const BytesView own = bytes();
    if (own.empty()) return false;  // moved from
    unsigned difference = own.size() == text.size() ? 0U : 1U;
    std::size_t at = 0;
    for (const char byte : text) {
      difference |= static_cast<unsigned char>(byte) ^ static_cast<unsigned>(static_cast<unsigned char>(own[at]));
      at = at + 1 < own.size() ? at + 1 : 0;
    }
    return difference == 0;
  }

  friend bool operator==(const Password& a, const Password& b) noexcept { return a.matches(b.bytes()); }

 private:
  Password() = default;

  SecretText text_;
};

/// A password by which a name can be proven, and what is known about it.
struct PasswordAnswer {
  Password password;
  std::string kid = {};                            ///< the id of its line: the `key_id` of a worker that proves it
  std::map<std::string, std::string> labels = {};  ///< the labels of its line
};

}  // namespace remsh::auth
