// Wiping secrets from memory.
#pragma once

#include <span>

namespace remsh {

/// Writes zeros, even if the compiler sees that the memory is not read afterwards.
inline void wipe(std::span<char> memory) noexcept {
  for (volatile char& byte : memory) byte = 0;
}

}  // namespace remsh
