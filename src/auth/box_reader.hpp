// BoxReader: reads the boxes of a handshake, one at a time.
#pragma once

#include "base/result.hpp"
#include "base/text.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>

namespace remsh::auth {

/// Takes bytes until one box of a handshake is complete. One thread at a time.
class BoxReader {
 public:
  explicit BoxReader(const char* peer) : peer_(peer) {}

  /// Expects one box of at most `bytes`. `place` names it in failures: "while hello was awaited".
  void expect(std::size_t bytes, const char* place);

  /// Returns the box, null if more bytes are needed, or the reason why the bytes are not a box. The box is valid as
  /// long as `bytes`, until the next call.
  Result<const BoxView*> feed(BytesView bytes);

  /// The bytes after the box.
  [[nodiscard]] Bytes rest() const { return decoder_.unread(); }

  /// Fails unless the box is canonical and `envelope` lists exactly its keys that begin with '_'.
  [[nodiscard]] Result<void> check_form(const BoxView& box, std::initializer_list<BytesView> envelope) const;

  /// Fails if the box has keys that are valid only with the feature `resume`.
  [[nodiscard]] Result<void> check_reserved(const BoxView& box) const;

  /// The value of a required key; fails if it is missing or not `good`.
  template <class Predicate>
  Result<BytesView> require(const BoxView& box, BytesView key, Predicate good) const;

  /// The protocol_error for a violation by the peer, with the place in the handshake.
  [[nodiscard]] Failure broken(const std::string& what) const;

  /// The connection_lost for a stream that ends here.
  [[nodiscard]] Failure at_end() const;

 private:
  const char* peer_;
  const char* place_ = "";
  Bytes opening_;  // the first two bytes of the connection, which identify other protocols
  BoxDecoder decoder_;
};

template <class Predicate>
Result<BytesView> BoxReader::require(const BoxView& box, BytesView key, Predicate good) const {
  const auto value = box.get(key);
  if (!value) return broken("sent a box without " + start_in_quotes(key));
  if (!good(*value)) {
    const bool is_shown = key != "mac" && key != "nonce";
    return broken("sent a malformed " + start_in_quotes(key) + (is_shown ? ": " + start_in_quotes(*value) : ""));
  }
  return *value;
}

}  // namespace remsh::auth
