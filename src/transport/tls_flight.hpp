// TlsFlight: how much of what came in a TLS handshake is whole; no I/O.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>

namespace remsh {

/// Looks at the ciphertext of a handshake, which somebody else keeps, and tells how much of it OpenSSL may have: whole
/// records, that end with a message where they are not encrypted. For whoever sends one byte, or claims a message to be
/// long, OpenSSL takes far more memory than came; what it is given whole costs little when it has been worked on. One
/// thread at a time.
class TlsFlight {
 public:
  explicit TlsFlight(std::size_t max_message) : max_message_(max_message) {}

  /// Goes on over all the bytes that are kept; more of them than the last time. False: here is a message that is longer
  /// than it may be, or cut by something else.
  bool look(BytesView kept) {
    constexpr std::size_t header = 5;
    constexpr std::size_t longest = 16384 + 256;
    while (kept.size() >= seen_ + header) {
      const auto byte = [&](std::size_t at) { return std::size_t{static_cast<unsigned char>(kept[seen_ + at])}; };
      const std::size_t size = byte(3) << 8U | byte(4);
      if (byte(0) < first_type || byte(0) > last_type || byte(1) != 3 || size > longest) {
        whole_ = seen_ = kept.size();  // no TLS: OpenSSL has words for that
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

  /// So many of the bytes that are kept, from the front, are whole.
  [[nodiscard]] std::size_t whole() const noexcept { return whole_; }

  /// So many of these are not kept any more.
  void taken(std::size_t bytes) noexcept {
    seen_ -= bytes;
    whole_ -= bytes;
  }

 private:
  static constexpr std::size_t first_type = 20;
  static constexpr std::size_t handshake_type = 22;
  static constexpr std::size_t last_type = 23;

  [[nodiscard]] bool is_inside() const noexcept { return of_header_ > 0 || left_ > 0; }

  /// The next bytes of messages: each is a type, three bytes of length, and so many bytes.
  bool follow(BytesView bytes) {
    while (!bytes.empty()) {
      if (left_ > 0) {
        const std::size_t part = left_ < bytes.size() ? left_ : bytes.size();
        left_ -= part;
        bytes.remove_prefix(part);
        continue;
      }
      length_ = (length_ << 8U | static_cast<unsigned char>(bytes.front())) & 0xffffffU;  // the type goes out in front
      bytes.remove_prefix(1);
      if (++of_header_ < 4) continue;
      if (length_ > max_message_) return false;
      left_ = length_;
      of_header_ = 0;
    }
    return true;
  }

  const std::size_t max_message_;
  std::size_t seen_ = 0;   // whole records
  std::size_t whole_ = 0;  // those of them that end with a message
  std::size_t left_ = 0;   // of a message
  std::uint32_t length_ = 0;
  std::uint32_t of_header_ = 0;  // bytes
};

}  // namespace remsh
