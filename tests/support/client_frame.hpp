// A frame of a WebSocket, as a worker sends it.
#pragma once

#include "base/big_endian.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh::test {

/// `first`: the bit that ends a message, and the opcode. The mask changes nothing.
inline Bytes client_frame(unsigned first, BytesView payload) {
  Bytes bytes(1, static_cast<char>(first));
  const unsigned more = payload.size() < 126 ? 0 : payload.size() <= 0xffff ? 2 : 8;
  bytes += static_cast<char>(0x80U | (more == 0 ? payload.size() : more == 2 ? 126U : 127U));
  append_big_endian(bytes, payload.size(), more);
  return bytes.append(4, '\0').append(payload);
}

}  // namespace remsh::test
