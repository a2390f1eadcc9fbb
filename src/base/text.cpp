// Making any bytes fit to be shown: in messages, in logs, on terminals.
#include "base/text.hpp"

namespace remsh {

namespace {

bool is_control(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

void append_hex(std::string& to, char c) {
  static constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += "\\x";
  to += digits[byte >> 4U];
  to += digits[byte & 0xFU];
}

}  // namespace

std::string escaped(BytesView bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    if (c == '\\') {
      out += "\\\\";
    } else if (is_control(c) || static_cast<unsigned char>(c) >= 0x80) {
      append_hex(out, c);
    } else {
      out += c;
    }
  }
  return out;
}

std::string without_controls(BytesView text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_control(c)) {
      append_hex(out, c);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace remsh
