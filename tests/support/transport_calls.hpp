// Reading from a transport and writing to it, in one call.
#pragma once

#include <remsh/transport/transport.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string_view>

namespace remsh::test {

inline IoResult write_to(Transport& transport, std::string_view bytes) { return transport.write_some({&bytes, 1}); }

/// Writes all of the bytes, for which there is room.
inline void put(Transport& transport, std::string_view bytes) {
  REQUIRE(write_to(transport, bytes).bytes == bytes.size());
}

/// The first result that is not "nothing now".
inline IoResult read_result(Transport& transport) {
  std::array<char, 16> buffer;
  for (;;) {
    const IoResult result = transport.read_some(buffer, Transport::slice);
    if (result.status != IoResult::Status::would_block) return result;
  }
}

}  // namespace remsh::test
