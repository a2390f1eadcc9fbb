// Percent-encoding: bytes written as %XX, for words that pass through a shell.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

namespace remsh {

/// Replaces each %XX by its byte, and leaves any other text as it is.
inline std::string percent_decoded(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    unsigned char byte = 0;
    const bool is_byte = text.size() >= 3 && text[0] == '%' &&
                         std::from_chars(text.data() + 1, text.data() + 3, byte, 16).ptr == text.data() + 3;
    result += is_byte ? static_cast<char>(byte) : text[0];
    text.remove_prefix(is_byte ? 3 : 1);
  }
  return result;
}

}  // namespace remsh
