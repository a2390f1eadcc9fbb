// TlsFlight: finds the complete parts of a TLS handshake's input; no I/O.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>

namespace remsh {

/// Determines how much of the ciphertext of a handshake, which the caller keeps, may be passed to OpenSSL: complete
/// records that, if unencrypted, end with a complete message. If a peer sends a single byte, or claims that a message
/// is long, OpenSSL allocates far more memory than was received; complete input costs little after it is processed. One
/// thread at a time.
class TlsFlight {
 public:
  explicit TlsFlight(std::size_t max_message) : max_message_(max_message) {}

  /// Scans the bytes kept so far, more of them than the last time. Returns false if a message is longer than permitted,
  /// or is interrupted by another record.
  bool look(BytesView kept) {
    constexpr std::size_t header = 5;
    constexpr std::size_t longest = 16384 + 256;
    while (kept.size() >= seen_ + header) {
      const auto byte = [&](std::size_t at) { return std::size_t{static_cast<unsigned char>(kept[seen_ + at])}; };
      const std::size_t size = byte(3) << 8U | byte(4);
      if (byte(0) < first_type || byte(0) > last_type || byte(1) != 3 || size > longest) {
        whole_ = seen_ = kept.size();  // not TLS: OpenSSL reports the error
        return true;
      }
      if (kept.size() - seen_ - header < size) break;
      const bool is_handshake = byte(0) == handshake_type;
      if (is_handshake && !follow(kept.substr(seen_ + header, size))) return false;
      if (!is_handshake && is_inside()) return false;
      seen_ += header + size;
      if (!is_inside()) whole_ = seen_;
    }
    return true;
  }

  /// The number of kept bytes, from the front, that are complete.
  [[nodiscard]] std::size_t whole() const noexcept { return whole_; }

  /// Reports that this number of bytes was removed from the front.
  void taken(std::size_t bytes) noexcept {
    seen_ -= bytes;
    whole_ -= bytes;
  }

 private:
  static constexpr std::size_t first_type = 20;
  static constexpr std::size_t handshake_type = 22;
  static constexpr std::size_t last_type = 23;

  [[nodiscard]] bool is_inside() const noexcept { return of_header_ > 0 || left_ > 0; }

  /// Follows the messages in these bytes: each has a type, a length in three bytes, and its content.
  bool follow(BytesView bytes) {
    while (!bytes.empty()) {
      if (left_ > 0) {
        const std::size_t part = left_ < bytes.size() ? left_ : bytes.size();
        left_ -= part;
        bytes.remove_prefix(part);
        continue;
      }
      length_ = (length_ << 8U | static_cast<unsigned char>(bytes.front())) & 0xffffffU;  // the type is shifted out
      bytes.remove_prefix(1);
      if (++of_header_ < 4) continue;
      if (length_ > max_message_) return false;
      left_ = length_;
      of_header_ = 0;
    }
    return true;
  }

  const std::size_t max_message_;
  std::size_t seen_ = 0;   // complete records
  std::size_t whole_ = 0;  // the part of them that ends with a complete message
  std::size_t left_ = 0;   // remaining bytes of a message
  std::uint32_t length_ = 0;
  std::uint32_t of_header_ = 0;  // bytes seen of the header of a message
};

}  // namespace remsh
