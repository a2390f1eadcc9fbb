// many_bytes: bytes that show whether some are missing.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>

namespace remsh::test {

/// More than any buffer holds on the way.
inline constexpr std::size_t ten_mebibytes = 10 * 1024 * 1024;

/// Depends on the position.
inline char byte_at(std::size_t position) { return static_cast<char>((position * 7 + position / 251) % 256); }

inline Bytes many_bytes(std::size_t count) {
  Bytes bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = byte_at(i);
  return bytes;
}

}  // namespace remsh::test
