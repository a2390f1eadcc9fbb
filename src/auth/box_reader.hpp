// BoxReader: bytes to the boxes of a handshake, one at a time.
#pragma once

#include "base/result.hpp"
#include "base/text.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>

namespace remsh::auth {

/// Takes bytes until one box of a handshake is whole. One thread at a time.
class BoxReader {
 public:
  explicit BoxReader(const char* peer) : peer_(peer) {}

  /// Begins to wait for one box of at most `bytes`; `place` names it in failures: "while hello was awaited".
  void expect(std::size_t bytes, const char* place);

  /// The box, null if more bytes are needed, or why these are no boxes. The box lives as long as `bytes` and until
  /// the next call.
  Result<const BoxView*> feed(BytesView bytes);

  /// The bytes behind the box.
  [[nodiscard]] Bytes rest() const { return decoder_.unread(); }

  /// Fails unless the box is canonical and its keys that begin with '_' are exactly these.
  [[nodiscard]] Result<void> check_form(const BoxView& box, std::initializer_list<BytesView> envelope) const;

  /// Fails if the box has keys that mean something only with the feature `resume`.
  [[nodiscard]] Result<void> check_reserved(const BoxView& box) const;

  /// The value of a key that must be there and be `good`.
  template <class Predicate>
  Result<BytesView> require(const BoxView& box, BytesView key, Predicate good) const;

  /// protocol_error: who did what, and where in the handshake.
  [[nodiscard]] Failure broken(const std::string& what) const;

  /// connection_lost: the bytes end here.
  [[nodiscard]] Failure at_end() const;

 private:
  const char* peer_;
  const char* place_ = "";
  Bytes opening_;  // the first two bytes of the connection: they tell what a peer speaks that speaks something else
  BoxDecoder decoder_;
};

template <class Predicate>
Result<BytesView> BoxReader::require(const BoxView& box, BytesView key, Predicate good) const {
  const auto value = box.get(key);
  if (!value) return broken("sent a box without " + quoted_start(key));
  if (!good(*value)) {
    const bool is_shown = key != "mac" && key != "nonce";
    return broken("sent a malformed " + quoted_start(key) + (is_shown ? ": " + quoted_start(*value) : ""));
  }
  return *value;
}

}  // namespace remsh::auth
