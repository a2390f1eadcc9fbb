// AnyHandshake: the handshake of slaves of either generation, told apart by their first bytes; no I/O.
#pragma once

#include "auth/handshake.hpp"
#include "base/result.hpp"
#include "remsh1/greeting.hpp"

#include <remsh/auth/registration.hpp>
#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// A MasterHandshake, which it is used like, that also takes original slaves where they are wanted. These say who they
/// are in one box and are told nothing but that they are registered; whoever is not is cut off inside a box, which ends
/// it. They prove nothing, so all rules for slaves without a key hold for them. One thread at a time.
class AnyHandshake {
 public:
  using Step = auth::MasterHandshake::Step;

  AnyHandshake(auth::MasterHandshake::Options options, bool takes_originals)
      : keyless_allowed_(options.keyless_allowed),
        has_key_(options.has_key),
        psk_identity_(options.psk_identity),
        handshake_(std::move(options)),
        takes_originals_(takes_originals) {}

  Step feed(BytesView bytes);
  [[nodiscard]] Failure at_end() const;
  [[nodiscard]] const Registration& registration() const noexcept {
    return is_original() ? registration_ : handshake_.registration();
  }
  Bytes open(std::chrono::milliseconds keepalive);
  Bytes refuse(auth::Refusal refusal, std::string_view reason, std::optional<std::chrono::milliseconds> retry = {});

  // Of the others, once registered.
  [[nodiscard]] bool is_enrolment() const noexcept { return !is_original() && handshake_.is_enrolment(); }
  [[nodiscard]] auth::MasterHandshake::Enrolment enrol() { return handshake_.enrol(); }
  [[nodiscard]] const std::map<std::string, std::string>& labels() const noexcept { return handshake_.labels(); }

  /// It is a slave of the original remsh. Certain once it is registered.
  [[nodiscard]] bool is_original() const noexcept { return speaker_ == Speaker::original; }

 private:
  using Speaker = remsh1::Greeting::Speaker;

  Step take_original();
  [[nodiscard]] std::string why_not_keyless(const std::string& name) const;

  // As the handshake has them.
  const bool keyless_allowed_;
  const std::function<bool(BytesView name)> has_key_;
  const Bytes psk_identity_;

  remsh1::Greeting greeting_;
  Speaker speaker_ = Speaker::unknown;
  auth::MasterHandshake handshake_;
  const bool takes_originals_;
  Registration registration_;
};

}  // namespace remsh
