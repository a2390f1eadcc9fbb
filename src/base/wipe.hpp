// Wiping secrets from memory.
#pragma once

#include <span>

namespace remsh {

/// Writes zeros, also where the compiler sees that nobody reads them.
inline void wipe(std::span<char> memory) noexcept {
  for (volatile char& byte : memory) byte = 0;
}

}  // namespace remsh
