#include "auth/master_handshake.hpp"

#include "auth/derive.hpp"
#include "auth/key_line.hpp"
#include "auth/resources.hpp"
#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace remsh::auth {
namespace {

constexpr BytesView resume_feature = "resume";
constexpr std::size_t max_tag = 16;

bool is_one(BytesView text) { return text == "1"; }

Bytes failure_box(BytesView tag) {
  return encode(Box{{"_error", tag}, {"_error_code", failure_code}, {"_error_description", failure_description}});
}

/// The beginning of a text, at most `max` bytes, without splitting a UTF-8 character.
BytesView cut_text(BytesView text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0U) == 0x80U) --max;
  return text.substr(0, max);
}

}  // namespace

MasterHandshake::MasterHandshake(Options options) : options_(std::move(options)) {
  assert(is_nonce(options_.nonce) && is_binding(options_.binding));
  assert(!options_.keys || options_.keys->find);
  sort_features(options_.features);
  reader_.expect(max_handshake_box, "while hello was awaited");
}

MasterHandshake::Step MasterHandshake::feed(BytesView bytes) {
  if (bytes.empty()) return {};
  if (state_ == State::registered) return give_up(reader_.broken("sent something before its welcome"));
  if (state_ == State::over) return give_up(reader_.broken("sent something behind the handshake's end"));
  const auto box = reader_.feed(bytes);
  if (!box.ok()) return give_up(box.failure());
  if (*box == nullptr) return {};

  if (state_ == State::hello) {
    auto challenge = answer_hello(**box);
    if (!challenge.ok()) return give_up(std::move(challenge).failure());
    state_ = State::prove;
    reader_.expect(max_prove, "while prove was awaited");
    return {.action = Step::Action::send, .bytes = std::move(*challenge)};
  }
  const auto taken = take_prove(**box);
  if (!taken.ok()) return give_up(taken.failure());
  state_ = State::registered;
  reader_.expect(0, "before the welcome was sent");
  return {.action = Step::Action::registered};
}

Failure MasterHandshake::at_end() const { return reader_.at_end(); }

Bytes MasterHandshake::open(std::chrono::milliseconds keepalive) {
  assert(!is_enrolment_);
  const auto within = std::clamp(keepalive, std::chrono::milliseconds(1), max_keepalive);
  return answer_prove(Box{{"keepalive", Decimal(within.count())}});
}

Bytes MasterHandshake::reject() {
  state_ = State::over;
  key_.reset();
  return tag_.empty() ? Bytes() : failure_box(tag_);
}

Bytes MasterHandshake::refuse(Refusal refusal, std::string_view reason,
                              std::optional<std::chrono::milliseconds> retry) {
  Box welcome{{"reason", cut_text(reason, max_reason)}, {"refused", to_string(refusal)}};
  if (retry) {
    const auto count = std::max(retry->count(), std::chrono::milliseconds::rep{0});
    welcome.set("retry", Decimal(count));
  }
  return answer_prove(std::move(welcome));
}

/// Checks what hello and prove have in common.
Result<void> MasterHandshake::take_call(const BoxView& box, BytesView command) {
  if (auto form = reader_.check_form(box, {"_ask", "_command"}); !form.ok()) return form;
  const auto called = *box.get("_command");
  if (called != command) return reader_.broken("called " + start_in_quotes(called));
  const auto tag = reader_.require(box, "_ask", [](BytesView text) { return !text.empty() && text.size() <= max_tag; });
  if (!tag.ok()) return tag.failure();
  tag_ = *tag;
  if (!reader_.rest().empty()) return reader_.broken(formatted("went on before {} was answered", command));
  return {};
}

Result<Bytes> MasterHandshake::answer_hello(const BoxView& box) {
  if (box.get("type") == "register" && !box.has("_command")) {
    return reader_.broken("registered as a slave of remsh 1, which is another protocol");
  }
  if (const auto taken = take_call(box, "hello"); !taken.ok()) return taken.failure();
  const auto name = reader_.require(box, "name", is_slave_name);
  if (!name.ok()) return name.failure();
  const auto nonce = reader_.require(box, "nonce", is_nonce);
  if (!nonce.ok()) return nonce.failure();
  const auto features = reader_.require(box, "features", is_feature_list);
  if (!features.ok()) return features.failure();
  const auto versions = reader_.require(box, "versions", is_version_list);
  if (!versions.ok()) return versions.failure();
  if (*nonce == options_.nonce) return reader_.broken("sent our own nonce");
  registration_.name = *name;

  if (box.has("kid")) {
    const auto kid = reader_.require(box, "kid", is_kid);
    if (!kid.ok()) return kid.failure();
    if (!options_.keys) {
      return Failure{Errc::auth_failed, formatted("{} has the key {}, and there are no keys here",
                                                  start_in_quotes(*name), start_in_quotes(*kid))};
    }
    registration_.key_id = *kid;
  } else if (!options_.keyless_allowed) {
    return Failure{Errc::auth_failed, start_in_quotes(*name) + " has no key, which is not allowed here"};
  }
  const auto spoken = *parse_versions(*versions);
  if (std::find(spoken.begin(), spoken.end(), handshake_version) == spoken.end()) {
    return Failure{Errc::auth_failed, formatted("{} speaks the handshake in none of our versions, but in {}",
                                                start_in_quotes(*name), start_in_quotes(*versions))};
  }

  const auto offered = *parse_features(*features);
  std::set_intersection(offered.begin(), offered.end(), options_.features.begin(), options_.features.end(),
                        std::back_inserter(registration_.features));
  if (registration_.key_id.empty()) std::erase(registration_.features, resume_feature);
  const Box challenge{{"_answer", tag_},
                      {"features", join(registration_.features)},
                      {"nonce", options_.nonce},
                      {"version", handshake_version}};
  if (!registration_.key_id.empty()) {
    transcript_ = new_transcript(options_.binding);
    transcript_->update(body(box) + body(challenge));
  }
  return encode(challenge);
}

Result<void> MasterHandshake::take_prove(const BoxView& box) {
  if (auto taken = take_call(box, "prove"); !taken.ok()) return taken;
  if (auto free = reader_.check_reserved(box); !free.ok()) return free;
  for (const auto& [key, member, max] : registration_fields) {
    const auto value = box.get(key);
    if (!value) continue;
    if (value->size() > max) return reader_.broken(formatted("sent a {} over {} bytes", start_in_quotes(key), max));
    registration_.*member = *value;
  }
  if (!parse_claimed_labels(registration_.labels)) return reader_.broken("sent malformed labels");
  if (!parse_resources(registration_.resources)) return reader_.broken("sent malformed resources");
  return registration_.key_id.empty() ? check_keyless(box) : check_proof(box);
}

Result<void> MasterHandshake::check_keyless(const BoxView& box) {
  for (const BytesView key : {"mac", "enrol"}) {
    if (box.has(key)) return reader_.broken(formatted("sent {} without the id of a key", start_in_quotes(key)));
  }
  return {};
}

/// Does the same work for every error, so that the time does not reveal which names exist.
Result<void> MasterHandshake::check_proof(const BoxView& box) {
  const auto mac = reader_.require(box, "mac", is_mac);
  if (!mac.ok()) return mac.failure();
  is_enrolment_ = box.has("enrol");
  if (is_enrolment_) {
    if (const auto enrol = reader_.require(box, "enrol", is_one); !enrol.ok()) return enrol.failure();
  }
  transcript_->update(body(box));

  const std::string& name = registration_.name;
  KeyAnswer answer = options_.keys->find(name, registration_.key_id);
  if (!options_.psk_identity.empty() && options_.psk_identity != name + ':' + registration_.key_id) {
    answer = {.reason = "TLS has proven " + start_in_quotes(options_.psk_identity)};
  }
  const Secret key = answer.key.value_or(options_.keys->decoy);
  const bool is_proven = Secret::from_bytes(*mac) == hmac(derive(key, "slave").bytes(), transcript_->digest());
  const auto fail = [&](const std::string& why) {
    return Failure{Errc::auth_failed, formatted("{} with the key {}: {}", start_in_quotes(name),
                                                start_in_quotes(registration_.key_id), why)};
  };
  if (!answer.key) return fail(answer.reason);
  if (!is_proven) {
    return fail("its proof is wrong: it knows only the key's id, or something between changes bytes or ends TLS");
  }
  if (is_enrolment_ && !answer.is_invitation) return fail("it asks to enrol with what is no invitation");
  if (!is_enrolment_ && answer.is_invitation) return fail("it uses an invitation as a key");
  if (is_enrolment_ && !options_.enrolment_allowed) return fail("it asks to enrol where there is no TLS");
  key_ = key;
  labels_ = std::move(answer.labels);
  return {};
}

MasterHandshake::Step MasterHandshake::give_up(Failure failure) {
  state_ = State::over;
  if (failure.code != Errc::auth_failed) return {.action = Step::Action::close, .failure = std::move(failure)};
  return {.action = Step::Action::fail, .bytes = failure_box(tag_), .failure = std::move(failure)};
}

Bytes MasterHandshake::answer_prove(Box welcome) {
  assert(state_ == State::registered);
  state_ = State::over;
  Bytes bytes = signed_welcome(std::move(welcome));
  key_.reset();
  return bytes;
}

Bytes MasterHandshake::signed_welcome(Box welcome) const {
  welcome.set("_answer", tag_);
  if (key_) {
    const Secret mac = hmac(derive(*key_, "master").bytes(), hash_with(*transcript_, body(welcome)));
    welcome.set("mac", mac.bytes());
  }
  return encode(welcome);
}

MasterHandshake::Enrolment MasterHandshake::enrol() const {
  assert(state_ == State::registered && is_enrolment_);
  return {.welcome = signed_welcome({}),
          .key = hmac(derive(*key_, "enrol").bytes(), hash_with(*transcript_, body(Box())))};
}

}  // namespace remsh::auth
