#include "master/any_handshake.hpp"

#include "base/text.hpp"
#include "remsh1/message.hpp"

#include <string>
#include <utility>

namespace remsh {

namespace {

using Action = AnyHandshake::Step::Action;

/// Where the stream ends behind this, an original slave ends too, instead of spinning.
const Bytes half_a_key_length(1, '\0');

AnyHandshake::Step fail(Errc code, std::string why) {
  return {.action = Action::fail, .bytes = half_a_key_length, .failure = {code, std::move(why), 0}};
}

}  // namespace

AnyHandshake::Step AnyHandshake::feed(BytesView bytes) {
  if (speaker_ == Speaker::other) return handshake_.feed(bytes);
  if (speaker_ == Speaker::original) {
    return {.action = Action::close,
            .failure = {Errc::protocol_error, "the slave speaks remsh 1, and out of its turn", 0}};
  }
  speaker_ = greeting_.feed(bytes);
  switch (speaker_) {
    case Speaker::unknown: return {};
    case Speaker::original: return take_original();
    case Speaker::other: break;
  }
  return handshake_.feed(std::exchange(greeting_, {}).bytes());
}

AnyHandshake::Step AnyHandshake::take_original() {
  const remsh1::Register& its = greeting_.registration();
  if (!takes_originals_) {
    return fail(Errc::refused,
                "it is a slave of the original remsh, which speaks remsh 1: set ListenerOptions::remsh1 = true to take "
                "such slaves");
  }
  if (its.version != 1) {
    return fail(Errc::protocol_error,
                "it speaks version " + std::to_string(its.version) + " of the original's protocol; 1 is known");
  }
  if (!auth::is_slave_name(its.hostname)) {
    return fail(Errc::refused, "its host has the name '" + escaped(BytesView(its.hostname).substr(0, 256)) +
                                   "', which no slave can have: [A-Za-z0-9][A-Za-z0-9._-]{0,63}");
  }
  if (auto why = why_not_keyless(its.hostname); !why.empty()) return fail(Errc::auth_failed, std::move(why));
  registration_.name = its.hostname;
  registration_.hostname = its.hostname;
  return {.action = Action::registered};
}

/// Why a slave that proves nothing does not get in under this name; empty if it does.
std::string AnyHandshake::why_not_keyless(const std::string& name) const {
  const std::string what = "'" + name + "' is a slave of the original remsh, which has no key";
  if (!keyless_allowed_) return what + ", and this listener takes no slaves without one: set `keyless` as well";
  if (!psk_identity_.empty()) return what + ", but TLS has proven '" + escaped(psk_identity_) + "'";
  if (has_key_ && has_key_(name)) return what + ", but there is one for this name";
  return {};
}

Failure AnyHandshake::at_end() const {
  if (is_original()) return {Errc::connection_lost, "closed by the other side", 0};
  return handshake_.at_end();
}

Bytes AnyHandshake::open(std::chrono::milliseconds keepalive) {
  return is_original() ? encode(remsh1::registered_box()) : handshake_.open(keepalive);
}

Bytes AnyHandshake::refuse(auth::Refusal refusal, std::string_view reason,
                           std::optional<std::chrono::milliseconds> retry) {
  return is_original() ? half_a_key_length : handshake_.refuse(refusal, reason, retry);
}

}  // namespace remsh
