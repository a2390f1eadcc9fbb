// Greeting: recognises an original slave by the first bytes of its connection. No I/O.
#pragma once

#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstddef>
#include <cstdint>

namespace remsh::remsh1 {

/// Takes the first bytes of a connection, until it is certain whether they are the register box of an original slave.
/// One thread at a time.
class Greeting {
 public:
  enum class Speaker : std::uint8_t {
    unknown,   ///< more bytes are needed
    original,  ///< see registration()
    other,     ///< not an original slave: see bytes()
  };

  /// Takes the next bytes, while the speaker is unknown.
  Speaker feed(BytesView bytes) {
    bytes_.append(bytes);
    if (bytes_.size() > 2 && bytes_[2] == '_') return Speaker::other;  // the first key of a hello begins with '_'
    BoxDecoder decoder({max_bytes, max_fields});
    decoder.feed(bytes_);
    if (!decoder.next()) return decoder.error() == BoxError::none ? Speaker::unknown : Speaker::other;
    auto registration = Register::from_box(decoder.box().copy());
    if (!registration || !decoder.unread().empty()) return Speaker::other;  // an original slave sends no more yet
    registration_ = std::move(*registration);
    return Speaker::original;
  }

  [[nodiscard]] const Register& registration() const noexcept { return registration_; }

  /// All bytes so far.
  [[nodiscard]] const Bytes& bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::size_t max_bytes = 1024;
  static constexpr std::size_t max_fields = 64;

  Bytes bytes_;
  Register registration_;
};

}  // namespace remsh::remsh1
