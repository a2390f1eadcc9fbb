#include "base/base64.hpp"

#include "base/wipe.hpp"

#include <cstddef>
#include <cstdint>

namespace remsh {

namespace {

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t base64_group = 4;  // characters, for three bytes

}  // namespace

std::string to_base64(BytesView bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * base64_group);
  std::uint32_t bits = 0;  // the lowest `waiting` are not written yet
  unsigned waiting = 0;
  for (const char byte : bytes) {
    bits = bits << 8U | static_cast<unsigned char>(byte);
    waiting += 8;
    while (waiting >= 6) {
      waiting -= 6;
      text += base64_digits[bits >> waiting & 0x3fU];
    }
  }
  if (waiting > 0) text += base64_digits[bits << (6 - waiting) & 0x3fU];
  while (text.size() % base64_group != 0) text += '=';
  return text;
}

std::optional<Bytes> from_base64(std::string_view text) {
  std::optional<Bytes> bytes;
  if (text.size() % base64_group != 0) return bytes;
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  bytes.emplace();
  bytes->reserve(text.size() / base64_group * 3 + 2);  // so that nothing is copied later
  std::uint32_t bits = 0;                              // that do not fill a byte yet
  unsigned waiting = 0;
  for (const char c : text) {
    const auto digit = base64_digits.find(c);
    if (digit == std::string_view::npos) {
      bits = 1;  // refused below, where what has been read is dropped
      break;
    }
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    waiting += 6;
    if (waiting < 8) continue;
    waiting -= 8;
    bytes->push_back(static_cast<char>(bits >> waiting & 0xffU));
    bits &= (1U << waiting) - 1;
  }
  if (bits == 0) return bytes;
  wipe(*bytes);
  bytes.reset();
  return bytes;
}

}  // namespace remsh
