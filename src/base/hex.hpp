// Hexadecimal digits of bytes.
#pragma once

#include <remsh/base/bytes.hpp>

#include <string>

namespace remsh {

inline constexpr BytesView lower_hex = "0123456789abcdef";
inline constexpr BytesView upper_hex = "0123456789ABCDEF";

/// Appends the two digits of a byte.
inline void append_hex(std::string& to, char byte, BytesView digits = lower_hex) {
  to += digits[static_cast<unsigned char>(byte) >> 4U];
  to += digits[static_cast<unsigned char>(byte) & 0xFU];
}

/// Two lower-case digits for each byte.
inline std::string to_hex(BytesView bytes) {
  std::string text;
  for (const char byte : bytes) append_hex(text, byte);
  return text;
}

/// True if all characters are lower-case digits.
inline bool is_hex(BytesView text) noexcept { return text.find_first_not_of(lower_hex) == BytesView::npos; }

}  // namespace remsh
