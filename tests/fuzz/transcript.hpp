// Transcript: what a handshake has said so far, for fuzz targets that cannot guess a proof.
#pragma once

#include "auth/derive.hpp"
#include "auth/handshake_grammar.hpp"
#include "auth/hmac.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <optional>
#include <string_view>

namespace remsh::fuzz {

/// A value of `mac` that stands for the right one.
inline constexpr BytesView proof_wanted = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";

/// One thread at a time.
class Transcript {
 public:
  /// A box that was sent or received.
  void add(BytesView bytes) {
    if (const auto box = decoded(bytes)) text_ += auth::body(*box);
  }

  /// The box with the proof that it wants; nothing where it wants none.
  [[nodiscard]] std::optional<Bytes> prove(BytesView bytes, const Secret& key, std::string_view purpose) const {
    auto box = decoded(bytes);
    if (!box || box->get("mac") != proof_wanted) return std::nullopt;
    auth::Sha256 hash;
    hash.update(text_ + auth::body(*box));
    box->set("mac", Bytes(auth::hmac(auth::derive(key, purpose).bytes(), hash.digest()).bytes()));
    return encode(*box);
  }

 private:
  static std::optional<Box> decoded(BytesView bytes) {
    BoxDecoder decoder;
    decoder.feed(bytes);
    if (!decoder.next() || !decoder.box().is_canonical()) return std::nullopt;
    return decoder.box().copy();
  }

  Bytes text_ = Bytes(32, '\0');
};

}  // namespace remsh::fuzz
