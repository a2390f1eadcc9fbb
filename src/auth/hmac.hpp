// SHA-256 and HMAC-SHA256, as the handshake of slaves uses them.
//
// Both throw std::runtime_error if libcrypto itself does not work (no memory, a broken configuration), never because of
// the input. Computing a key id (auth/derive.hpp) before there are connections verifies that it works.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <cstddef>
#include <memory>

namespace remsh::auth {

/// The size of a hash and of a MAC.
inline constexpr std::size_t digest_size = 32;
static_assert(digest_size == Secret::size, "what a MAC is, a key can be made of");

/// The hash of bytes that are added piece by piece. One thread at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256& other);  ///< continues from the same bytes
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(const Sha256&) = delete;
  Sha256& operator=(Sha256&&) noexcept = default;
  ~Sha256() = default;

  void update(BytesView bytes);

  /// The hash of all bytes so far; more may follow.
  [[nodiscard]] Bytes digest() const;

 private:
  struct Free {
    void operator()(void* context) const noexcept;
  };
  std::unique_ptr<void, Free> context_;
};

/// HMAC-SHA256. The result is a Secret, because it is secret until it is sent, and because a received MAC must be
/// compared in constant time: Secret::from_bytes(received) == hmac(key, data).
[[nodiscard]] Secret hmac(BytesView key, BytesView data);

}  // namespace remsh::auth
