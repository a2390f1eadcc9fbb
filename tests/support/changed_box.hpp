// Boxes that differ from an example in one field.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <doctest/doctest.h>

#include <optional>

namespace remsh::test {

/// The box that these bytes begin with.
inline Box box_of(BytesView bytes) {
  BoxDecoder decoder;
  decoder.feed(bytes);
  REQUIRE(decoder.next());
  return decoder.box().copy();
}

/// `box` with one value changed, or taken away if there is none.
inline Box with(Box box, const Bytes& key, const std::optional<Bytes>& value) {
  if (value) {
    box.set(key, *value);
  } else {
    REQUIRE(box.erase(key));
  }
  return box;
}

/// The same, of the bytes of a box.
inline Bytes with(BytesView bytes, const Bytes& key, const std::optional<Bytes>& value) {
  return encode(with(box_of(bytes), key, value));
}

}  // namespace remsh::test
