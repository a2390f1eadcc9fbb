#include "base/wipe.hpp"

#include <remsh/base/secret.hpp>

#include <algorithm>
#include <cstdint>

namespace remsh {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t base64_size = (Secret::size + 2) / 3 * 4;

}  // namespace

std::optional<Secret> Secret::from_bytes(BytesView bytes) {
  if (bytes.size() != size) return std::nullopt;
  Secret secret;
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
  return secret;
}

std::optional<Secret> Secret::from_base64(std::string_view text) {
  static_assert(size % 3 == 2, "one character of padding");
  if (text.size() != base64_size || text.back() != '=') return std::nullopt;
  text.remove_suffix(1);
  Secret secret;
  std::size_t filled = 0;
  std::uint32_t bits = 0;  // bits that do not fill a byte yet
  unsigned waiting = 0;
  for (const char c : text) {
    const auto digit = alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    waiting += 6;
    if (waiting < 8) continue;
    waiting -= 8;
    secret.bytes_[filled++] = static_cast<char>(bits >> waiting & 0xffU);
    bits &= (1U << waiting) - 1;
  }
  if (bits != 0) return std::nullopt;  // not canonical: another spelling of the same bytes
  return secret;
}

Secret::Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  bytes_ = other.bytes_;
  wipe(other.bytes_);
  return *this;
}

Secret::~Secret() { wipe(bytes_); }

std::string Secret::to_base64() const {
  std::string text;
  text.reserve(base64_size);
  std::uint32_t bits = 0;
  unsigned waiting = 0;
  for (const char c : bytes_) {
    bits = bits << 8U | static_cast<unsigned char>(c);
    waiting += 8;
    while (waiting >= 6) {
      waiting -= 6;
      text += alphabet[bits >> waiting & 0x3fU];
    }
  }
  text += alphabet[bits << (6 - waiting) & 0x3fU];
  text += '=';
  return text;
}

bool Secret::equals(const Secret& other) const noexcept {
  volatile unsigned char difference = 0;  // volatile, so that the compiler cannot stop early
  for (std::size_t i = 0; i < size; ++i) {
    difference = static_cast<unsigned char>(difference | (bytes_[i] ^ other.bytes_[i]));
  }
  return difference == 0;
}

}  // namespace remsh
