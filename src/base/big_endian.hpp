// Numbers as bytes, the highest byte first.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstdint>

namespace remsh {

/// The number that all of these bytes are, of which there are at most 8.
constexpr std::uint64_t from_big_endian(BytesView bytes) noexcept {
  std::uint64_t number = 0;
  for (const char byte : bytes) number = number << 8U | static_cast<unsigned char>(byte);
  return number;
}

/// Appends the lowest `bytes` bytes of a number.
inline void append_big_endian(Bytes& to, std::uint64_t number, unsigned bytes) {
  while (bytes-- > 0) to.push_back(static_cast<char>(number >> (8 * bytes) & 0xffU));
}

}  // namespace remsh
