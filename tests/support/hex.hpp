// Bytes as hexadecimal text, the form in which recorded bytes are stored and compared.
#pragma once

#include <remsh/base/bytes.hpp>

#include <stdexcept>
#include <string>

namespace remsh::test {

inline std::string to_hex(BytesView bytes) {
  std::string text;
  for (const char c : bytes) {
    text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4U];
    text += "0123456789abcdef"[static_cast<unsigned char>(c) & 0xfU];
  }
  return text;
}

/// Ignores white space, which is for the reader.
inline Bytes from_hex(BytesView text) {
  Bytes bytes;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == '\n') continue;
    const auto digit = BytesView("0123456789abcdef").find(c);
    if (digit == BytesView::npos) throw std::invalid_argument("not a hexadecimal digit");
    if (high < 0) {
      high = static_cast<int>(digit);
    } else {
      bytes.push_back(static_cast<char>(high << 4 | static_cast<int>(digit)));
      high = -1;
    }
  }
  if (high >= 0) throw std::invalid_argument("half a byte");
  return bytes;
}

}  // namespace remsh::test
