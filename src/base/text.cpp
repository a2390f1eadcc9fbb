// Escaping of bytes for messages, logs and terminals.
#include "base/text.hpp"

#include "base/hex.hpp"

#include <cstddef>

namespace remsh {

namespace {

bool is_control(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

/// The first character of a text: its size in bytes, and whether it only prints, without a special effect on terminals
/// or line readers. Each byte that is not valid UTF-8 counts as a harmful character.
struct Character {
  std::size_t size = 1;
  bool is_harmless = false;
  bool is_utf8 = false;
};

Character first_character(BytesView text) noexcept {
  const auto byte = [&text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {1, !is_control(text[0]), true};
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return {};
  unsigned code = first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {};
    code = code << 6U | (byte(i) & 0x3FU);
  }
  const bool is_shortest = size == 2 || (size == 3 && code >= 0x800) || (size == 4 && code >= 0x10000);
  if (!is_shortest || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {};
  const bool is_eight_bit_control = code < 0xA0;
  const bool breaks_lines = code == 0x2028 || code == 0x2029;
  const bool turns_text_around = (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  return {size, !is_eight_bit_control && !breaks_lines && !turns_text_around, true};
}

void append_escape(std::string& to, char c) {
  to += "\\x";
  append_hex(to, c, upper_hex);
}

}  // namespace

std::string escaped(BytesView bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    if (c == '\\') {
      out += "\\\\";
    } else if (is_control(c) || static_cast<unsigned char>(c) >= 0x80) {
      append_escape(out, c);
    } else {
      out += c;
    }
  }
  return out;
}

std::string in_quotes(BytesView text) { return "'" + escaped(text) + "'"; }

std::string start_in_quotes(BytesView text) {
  constexpr std::size_t enough = 64;
  return "'" + escaped(text.substr(0, enough)) + (text.size() > enough ? "...'" : "'");
}

std::string without_prefix(std::string text, BytesView prefix) {
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text;
}

std::string without_controls(BytesView text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_character(text);
    const BytesView bytes = text.substr(0, character.size);
    text.remove_prefix(bytes.size());
    if (character.is_harmless) {
      out += bytes;
    } else {
      for (const char c : bytes) append_escape(out, c);
    }
  }
  return out;
}

std::size_t utf8_size(BytesView text) noexcept {
  if (text.empty()) return 0;
  const Character character = first_character(text);
  return character.is_utf8 ? character.size : 0;
}

bool is_utf8(BytesView text) noexcept {
  while (!text.empty()) {
    const std::size_t size = utf8_size(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

}  // namespace remsh
