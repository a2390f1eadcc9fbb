#include "auth/slave_handshake.hpp"

#include "auth/derive.hpp"
#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace remsh::auth {

SlaveHandshake::SlaveHandshake(Options options) : options_(std::move(options)) {
  assert(is_nonce(options_.nonce) && is_slave_name(options_.registration.name));
  assert(is_binding(options_.binding) && (options_.key || !options_.enrols));
  sort_features(options_.registration.features);
}

Bytes SlaveHandshake::start() {
  assert(state_ == State::connected);
  state_ = State::challenge;
  reader_.expect(max_handshake_box, "while the challenge was awaited");
  Box hello{{"_ask", hello_tag},
            {"_command", "hello"},
            {"features", join(options_.registration.features)},
            {"name", options_.registration.name},
            {"nonce", options_.nonce},
            {"versions", handshake_version}};
  if (options_.key) {
    hello.set("kid", kid(*options_.key));
    transcript_ = new_transcript(options_.binding);
    transcript_->update(body(hello));
  }
  return encode(hello);
}

SlaveHandshake::Step SlaveHandshake::feed(BytesView bytes) {
  assert(state_ != State::connected);
  const auto give_up = [this](const Failure& failure) -> Step {
    state_ = State::over;
    return {.action = Step::Action::failed, .failure = failure};
  };
  if (bytes.empty()) return {};
  if (state_ == State::over) return give_up(reader_.broken("sent something behind the handshake's end"));
  const auto box = reader_.feed(bytes);
  if (!box.ok()) return give_up(box.failure());
  if (*box == nullptr) return {};

  if (state_ == State::challenge) {
    auto prove = answer_challenge(**box);
    if (!prove.ok()) return give_up(prove.failure());
    state_ = State::welcome;
    reader_.expect(max_handshake_box, "while the welcome was awaited");
    return {.action = Step::Action::send, .bytes = std::move(*prove)};
  }
  auto step = take_welcome(**box);
  if (!step.ok()) return give_up(step.failure());
  state_ = State::over;
  return std::move(*step);
}

Failure SlaveHandshake::at_end() const { return reader_.at_end(); }

/// Fails with auth_failed if the box is the handshake's failure.
Result<void> SlaveHandshake::check_answer(const BoxView& box, BytesView tag) const {
  const bool is_error = box.has("_error");
  auto form = is_error ? reader_.check_form(box, {"_error", "_error_code", "_error_description"})
                       : reader_.check_form(box, {"_answer"});
  if (!form.ok()) return form;
  if (box.get(is_error ? "_error" : "_answer") != tag) return reader_.broken("answered what was not asked");
  if (!is_error) return {};
  if (box.get("_error_code") != failure_code || box.get("_error_description") != failure_description) {
    return reader_.broken(formatted("sent the error {} {}", start_in_quotes(*box.get("_error_code")),
                                    start_in_quotes(*box.get("_error_description"))));
  }
  if (!options_.key) {
    return Failure{Errc::auth_failed, "the master answered 'authentication failed': its log says why"};
  }
  return Failure{Errc::auth_failed, formatted("the master refused the key {} of {}: its log says why",
                                              kid(*options_.key), options_.registration.name)};
}

Result<Bytes> SlaveHandshake::answer_challenge(const BoxView& box) {
  if (const auto checked = check_answer(box, hello_tag); !checked.ok()) return checked.failure();
  if (!reader_.rest().empty()) return reader_.broken("went on before the challenge was answered");
  const auto chosen = reader_.require(box, "version", [](BytesView text) { return text == handshake_version; });
  if (!chosen.ok()) return chosen.failure();
  const auto nonce = reader_.require(box, "nonce", is_nonce);
  if (!nonce.ok()) return nonce.failure();
  if (*nonce == options_.nonce) return reader_.broken("sent our own nonce");
  const auto features = reader_.require(box, "features", is_feature_list);
  if (!features.ok()) return features.failure();
  features_ = *parse_features(*features);
  const auto& offered = options_.registration.features;
  if (!std::includes(offered.begin(), offered.end(), features_.begin(), features_.end())) {
    return reader_.broken("chose features that were not offered: " + start_in_quotes(*features));
  }

  Box prove{{"_ask", prove_tag}, {"_command", "prove"}};
  for (const auto& [key, member, max] : registration_fields) {
    const std::string& value = options_.registration.*member;
    if (!value.empty() && value.size() <= max) prove.set(key, value);
  }
  if (options_.enrols) prove.set("enrol", "1");
  if (options_.key) {
    transcript_->update(body(box) + body(prove));
    prove.set("mac", hmac(derive(*options_.key, "slave").bytes(), transcript_->digest()).bytes());
  }
  return encode(prove);
}

/// Checks the master's proof: it has the key, and has seen the same boxes.
Result<void> SlaveHandshake::check_proof(const BoxView& box) {
  if (!options_.key) {
    if (box.has("mac")) return reader_.broken("proves a key that was not asked for");
    return {};
  }
  if (!box.has("mac")) {
    return Failure{Errc::auth_failed, "the master proves nothing: it is not ours, or something between took it away"};
  }
  const auto mac = reader_.require(box, "mac", is_mac);
  if (!mac.ok()) return mac.failure();
  transcript_->update(body(box));
  if (Secret::from_bytes(*mac) != hmac(derive(*options_.key, "master").bytes(), transcript_->digest())) {
    return Failure{Errc::auth_failed, "not our master, or something between ends TLS"};
  }
  return {};
}

Result<SlaveHandshake::Step> SlaveHandshake::take_welcome(const BoxView& box) {
  if (const auto checked = check_answer(box, prove_tag); !checked.ok()) return checked.failure();
  if (const auto proven = check_proof(box); !proven.ok()) return proven.failure();
  if (const auto free = reader_.check_reserved(box); !free.ok()) return free.failure();
  if (!box.has("refused") && options_.enrols) {
    if (box.has("keepalive")) return reader_.broken("opened where we asked to enrol");
    if (!reader_.rest().empty()) return reader_.broken("went on behind the welcome of an enrolment");
    return Step{.action = Step::Action::enrolled,
                .new_key = hmac(derive(*options_.key, "enrol").bytes(), transcript_->digest())};
  }
  if (!box.has("refused")) {
    const auto keepalive = reader_.require(box, "keepalive", [](BytesView text) {
      const auto number = from_decimal(text);
      return number && *number >= 1 && *number <= static_cast<std::uint64_t>(max_keepalive.count());
    });
    if (!keepalive.ok()) return keepalive.failure();
    return Step{.action = Step::Action::open,
                .bytes = reader_.rest(),
                .keepalive = std::chrono::milliseconds(*from_decimal(*keepalive)),
                .features = features_};
  }

  if (box.has("keepalive")) return reader_.broken("sent a welcome that is open and refused");
  const auto reason = reader_.require(box, "reason", [](BytesView text) { return text.size() <= max_reason; });
  if (!reason.ok()) return reason.failure();
  const BytesView word = *box.get("refused");
  Step step{.action = Step::Action::refused, .refusal = refusal_of(word)};
  if (box.has("retry")) {
    const auto retry = reader_.require(box, "retry", is_number);
    if (!retry.ok()) return retry.failure();
    constexpr std::uint64_t most =
        std::numeric_limits<std::uint32_t>::max();  // 49 days: small enough to add to any clock
    step.retry = std::chrono::milliseconds(std::min(*from_decimal(*retry), most));
  }
  step.failure = Failure{Errc::refused, formatted("the master refuses this slave ({}): {}", escaped(word.substr(0, 64)),
                                                  without_controls(*reason))};
  return step;
}

}  // namespace remsh::auth
