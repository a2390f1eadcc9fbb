// Random bytes from the operating system.
#include "os/random.hpp"

#include "base/hex.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <system_error>

namespace remsh {

void random_bytes(std::span<char> buffer) {
  constexpr std::size_t at_once = 256;  // the most that getentropy() returns, always completely
  while (!buffer.empty()) {
    const std::span<char> part = buffer.first(std::min(buffer.size(), at_once));
    if (::getentropy(part.data(), part.size()) != 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "getentropy");
    }
    buffer = buffer.subspan(part.size());
  }
}

Bytes random_hex(std::size_t count) {
  Bytes random(count, '\0');
  random_bytes(random);
  return to_hex(random);
}

}  // namespace remsh
