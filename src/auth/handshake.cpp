// MasterHandshake and SlaveHandshake: docs/protocol.md section 4.
#include "auth/handshake.hpp"

#include "auth/derive.hpp"
#include "base/decimal.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <iterator>
#include <limits>
#include <utility>

namespace remsh::auth {
namespace {

constexpr BytesView version = "2";
constexpr BytesView hello_tag = "1";
constexpr BytesView prove_tag = "2";
constexpr BytesView failure_code = "AUTH";
constexpr BytesView failure_description = "authentication failed";

/// A later version's resuming. They mean something only with the feature `resume`, which is never in force here.
constexpr std::array reserved_keys{BytesView("attempt"), BytesView("received"), BytesView("resume_mac"),
                                   BytesView("session"), BytesView("window")};
constexpr BytesView resume_feature = "resume";

constexpr std::size_t max_fields = 32;
constexpr std::size_t max_prove = 3072;
constexpr std::size_t max_box = 1024;  // of the others
constexpr std::size_t max_tag = 16;
constexpr std::size_t max_features = 512;
constexpr std::size_t max_reason = 256;

constexpr std::array refusal_words{
    std::pair(Refusal::name_in_use, BytesView("name_in_use")), std::pair(Refusal::draining, BytesView("draining")),
    std::pair(Refusal::full, BytesView("full")), std::pair(Refusal::features, BytesView("features")),
    std::pair(Refusal::rejected, BytesView("rejected"))};

/// A value of the registration: its key, where it is kept, and how long it may be.
struct RegistrationField {
  BytesView key;
  std::string Registration::*member;
  std::size_t max;
};
constexpr std::array registration_fields{RegistrationField{"basedir", &Registration::basedir, 1024},
                                         RegistrationField{"hostname", &Registration::hostname, 255},
                                         RegistrationField{"software", &Registration::software, 64},
                                         RegistrationField{"system", &Registration::system, 64}};

/// Peers that speak something else can be told by their first two bytes, which are no length of a key.
struct OtherProtocol {
  BytesView opening;
  const char* name;
};
constexpr std::array other_protocols{OtherProtocol{"GE", "an HTTP request"},
                                     OtherProtocol{"PO", "an HTTP request"},
                                     OtherProtocol{"HE", "an HTTP request"},
                                     OtherProtocol{"PU", "an HTTP request"},
                                     OtherProtocol{"OP", "an HTTP request"},
                                     OtherProtocol{"CO", "an HTTP request"},
                                     OtherProtocol{"PR", "an HTTP/2 request"},
                                     OtherProtocol{"HT", "an HTTP answer"},
                                     OtherProtocol{"SS", "an SSH greeting"},
                                     OtherProtocol{"\x16\x03", "a TLS greeting, and there is no TLS here"},
                                     OtherProtocol{"\x15\x03", "a TLS alert, and there is no TLS here"}};

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z'); }

bool is_nonce(BytesView text) { return text.size() == nonce_size; }
bool is_mac(BytesView text) { return text.size() == digest_size; }
bool is_one(BytesView text) { return text == "1"; }
bool is_number(BytesView text) { return from_decimal(text).has_value(); }

/// The elements of a list: separated by one space, ascending and each once, each `good`.
template <class Predicate>
std::optional<std::vector<std::string>> parse_list(BytesView text, Predicate good) {
  std::vector<std::string> list;
  while (!text.empty() || !list.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const BytesView element = text.substr(0, end);
    if (!good(element) || (!list.empty() && list.back().compare(element) >= 0)) return std::nullopt;
    list.emplace_back(element);
    if (end == text.size()) break;
    text.remove_prefix(end + 1);
  }
  return list;
}

std::optional<std::vector<std::string>> parse_features(BytesView text) {
  if (text.size() > max_features) return std::nullopt;
  return parse_list(text, is_feature_name);
}

bool is_feature_list(BytesView text) { return parse_features(text).has_value(); }
bool is_version_list(BytesView text) { return parse_list(text, is_number).has_value(); }

Bytes join(const std::vector<std::string>& list) {
  Bytes text;
  for (const std::string& element : list) text += (text.empty() ? "" : " ") + element;
  return text;
}

void sort_features(std::vector<std::string>& features) {
  assert(std::all_of(features.begin(), features.end(), is_feature_name));
  std::sort(features.begin(), features.end());
  features.erase(std::unique(features.begin(), features.end()), features.end());
  assert(join(features).size() <= max_features);
}

/// What a MAC covers of a box: all but the envelope of AMP and the MACs.
template <class AnyBox>
Bytes body(const AnyBox& box) {
  Bytes text;
  BoxWriter writer(text);
  for (const auto& [key, value] : box) {
    if (key.front() != '_' && key != "mac" && key != "resume_mac") writer.field(key, value);
  }
  writer.end();
  return text;
}

/// The hash of a handshake's boxes, of which none has come yet.
Sha256 new_transcript(BytesView binding) {
  Sha256 transcript;
  transcript.update(binding.empty() ? Bytes(binding_size, '\0') : binding);
  return transcript;
}

/// The hash of these boxes and one more.
Bytes hash_with(const Sha256& transcript, BytesView body) {
  Sha256 longer = transcript;
  longer.update(body);
  return longer.digest();
}

[[maybe_unused]] bool is_binding(BytesView bytes) { return bytes.empty() || bytes.size() == binding_size; }  // asserted

Bytes failure_box(BytesView tag) {
  return encode(Box{{"_error", tag}, {"_error_code", failure_code}, {"_error_description", failure_description}});
}

/// What fits of a text without cutting a character of UTF-8 in two.
BytesView cut_text(BytesView text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0U) == 0x80U) --max;
  return text.substr(0, max);
}

}  // namespace

bool is_slave_name(BytesView text) noexcept {
  return !text.empty() && text.size() <= 64 && is_alphanumeric(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_feature_name(BytesView text) noexcept {
  return !text.empty() && text.size() <= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

std::string_view to_string(Refusal refusal) noexcept {
  for (const auto& [value, word] : refusal_words) {
    if (value == refusal) return word;
  }
  return "rejected";
}

Refusal refusal_of(BytesView word) noexcept {
  for (const auto& [value, known] : refusal_words) {
    if (known == word) return value;
  }
  return Refusal::rejected;
}

void BoxReader::expect(std::size_t bytes, const char* place) {
  decoder_ = BoxDecoder({.bytes = bytes, .fields = max_fields});
  place_ = place;
}

Result<const BoxView*> BoxReader::feed(BytesView bytes) {
  opening_.append(bytes.substr(0, 2 - opening_.size()));
  decoder_.feed(bytes);
  if (decoder_.next()) return &decoder_.box();
  if (decoder_.error() == BoxError::none) return nullptr;
  if (decoder_.error() == BoxError::key_too_long) {
    for (const auto& [opening, name] : other_protocols) {
      if (opening_ == opening) return broken(std::string("sent what looks like ") + name);
    }
  }
  return broken("sent " + std::string(to_string(decoder_.error())));
}

Result<void> BoxReader::check_form(const BoxView& box, std::initializer_list<BytesView> envelope) const {
  if (!box.is_canonical()) return broken("sent a box whose keys are not in ascending order");
  for (const BytesView key : envelope) {
    if (!box.has(key)) return broken("sent a box without " + quoted_start(key));
  }
  for (const auto& [key, value] : box) {
    if (key.front() == '_' && std::find(envelope.begin(), envelope.end(), key) == envelope.end()) {
      return broken("sent a box with " + quoted_start(key) + ", which does not belong here");
    }
  }
  return {};
}

Result<void> BoxReader::check_reserved(const BoxView& box) const {
  for (const BytesView key : reserved_keys) {
    if (box.has(key)) return broken("sent " + quoted_start(key) + ", and the feature 'resume' is not in force");
  }
  return {};
}

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

Failure BoxReader::broken(const std::string& what) const {
  return Failure{Errc::protocol_error, std::string(peer_) + ' ' + what + " (" + place_ + ')'};
}

Failure BoxReader::at_end() const {
  return Failure{Errc::connection_lost, std::string("the connection to ") + peer_ + " ended" +
                                            (decoder_.is_inside_box() ? " inside a box" : "") + " (" + place_ + ')'};
}

MasterHandshake::MasterHandshake(Options options) : options_(std::move(options)) {
  assert(is_nonce(options_.nonce) && is_binding(options_.binding));
  assert(!options_.keys || options_.keys->find);
  sort_features(options_.features);
  reader_.expect(max_box, "while hello was awaited");
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
  return answer_prove(Box{{"keepalive", to_decimal(static_cast<std::uint64_t>(within.count()))}});
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
    welcome.set("retry", to_decimal(static_cast<std::uint64_t>(count)));
  }
  return answer_prove(std::move(welcome));
}

/// What hello and prove have in common.
Result<void> MasterHandshake::take_call(const BoxView& box, BytesView command) {
  if (auto form = reader_.check_form(box, {"_ask", "_command"}); !form.ok()) return form;
  const auto called = *box.get("_command");
  if (called != command) return reader_.broken("called " + quoted_start(called));
  const auto tag = reader_.require(box, "_ask", [](BytesView text) { return !text.empty() && text.size() <= max_tag; });
  if (!tag.ok()) return tag.failure();
  tag_ = *tag;
  if (!reader_.rest().empty()) return reader_.broken("went on before " + Bytes(command) + " was answered");
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
      return Failure{Errc::auth_failed,
                     quoted_start(*name) + " has the key " + quoted_start(*kid) + ", and there are no keys here"};
    }
    registration_.key_id = *kid;
  } else if (!options_.keyless_allowed) {
    return Failure{Errc::auth_failed, quoted_start(*name) + " has no key, which is not allowed here"};
  }
  const auto spoken = *parse_list(*versions, is_number);
  if (std::find(spoken.begin(), spoken.end(), version) == spoken.end()) {
    return Failure{Errc::auth_failed, quoted_start(*name) + " speaks the handshake in none of our versions, but in " +
                                          quoted_start(*versions)};
  }

  const auto offered = *parse_features(*features);
  std::set_intersection(offered.begin(), offered.end(), options_.features.begin(), options_.features.end(),
                        std::back_inserter(registration_.features));
  if (registration_.key_id.empty()) std::erase(registration_.features, resume_feature);
  const Box challenge{
      {"_answer", tag_}, {"features", join(registration_.features)}, {"nonce", options_.nonce}, {"version", version}};
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
    if (value->size() > max)
      return reader_.broken("sent a " + quoted_start(key) + " over " + to_decimal(max) + " bytes");
    registration_.*member = *value;
  }
  return registration_.key_id.empty() ? check_keyless(box) : check_proof(box);
}

Result<void> MasterHandshake::check_keyless(const BoxView& box) {
  for (const BytesView key : {"mac", "enrol"}) {
    if (box.has(key)) return reader_.broken("sent " + quoted_start(key) + " without the id of a key");
  }
  return {};
}

/// Does the same work whatever is wrong, so that nobody learns from the time which names there are.
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
    answer = {.reason = "TLS has proven " + quoted_start(options_.psk_identity)};
  }
  const Secret key = answer.key.value_or(options_.keys->decoy);
  const bool is_proven = Secret::from_bytes(*mac) == hmac(derive(key, "slave").bytes(), transcript_->digest());
  const auto fail = [&](const std::string& why) {
    return Failure{Errc::auth_failed,
                   quoted_start(name) + " with the key " + quoted_start(registration_.key_id) + ": " + why};
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
    welcome.set("mac", Bytes(mac.bytes()));
  }
  return encode(welcome);
}

MasterHandshake::Enrolment MasterHandshake::enrol() const {
  assert(state_ == State::registered && is_enrolment_);
  return {.welcome = signed_welcome({}),
          .key = hmac(derive(*key_, "enrol").bytes(), hash_with(*transcript_, body(Box())))};
}

SlaveHandshake::SlaveHandshake(Options options) : options_(std::move(options)) {
  assert(is_nonce(options_.nonce) && is_slave_name(options_.registration.name));
  assert(is_binding(options_.binding) && (options_.key || !options_.enrols));
  sort_features(options_.registration.features);
}

Bytes SlaveHandshake::start() {
  assert(state_ == State::connected);
  state_ = State::challenge;
  reader_.expect(max_box, "while the challenge was awaited");
  Box hello{{"_ask", hello_tag},
            {"_command", "hello"},
            {"features", join(options_.registration.features)},
            {"name", options_.registration.name},
            {"nonce", options_.nonce},
            {"versions", version}};
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
    reader_.expect(max_box, "while the welcome was awaited");
    return {.action = Step::Action::send, .bytes = std::move(*prove)};
  }
  auto step = take_welcome(**box);
  if (!step.ok()) return give_up(step.failure());
  state_ = State::over;
  return std::move(*step);
}

Failure SlaveHandshake::at_end() const { return reader_.at_end(); }

/// Fails with auth_failed where the box is the handshake's failure.
Result<void> SlaveHandshake::check_answer(const BoxView& box, BytesView tag) const {
  const bool is_error = box.has("_error");
  auto form = is_error ? reader_.check_form(box, {"_error", "_error_code", "_error_description"})
                       : reader_.check_form(box, {"_answer"});
  if (!form.ok()) return form;
  if (box.get(is_error ? "_error" : "_answer") != tag) return reader_.broken("answered what was not asked");
  if (!is_error) return {};
  if (box.get("_error_code") != failure_code || box.get("_error_description") != failure_description) {
    return reader_.broken("sent the error " + quoted_start(*box.get("_error_code")) + " " +
                          quoted_start(*box.get("_error_description")));
  }
  if (!options_.key) {
    return Failure{Errc::auth_failed, "the master answered 'authentication failed': its log says why"};
  }
  return Failure{Errc::auth_failed, "the master refused the key " + kid(*options_.key) + " of " +
                                        options_.registration.name + ": its log says why"};
}

Result<Bytes> SlaveHandshake::answer_challenge(const BoxView& box) {
  if (const auto checked = check_answer(box, hello_tag); !checked.ok()) return checked.failure();
  if (!reader_.rest().empty()) return reader_.broken("went on before the challenge was answered");
  const auto chosen = reader_.require(box, "version", [](BytesView text) { return text == version; });
  if (!chosen.ok()) return chosen.failure();
  const auto nonce = reader_.require(box, "nonce", is_nonce);
  if (!nonce.ok()) return nonce.failure();
  if (*nonce == options_.nonce) return reader_.broken("sent our own nonce");
  const auto features = reader_.require(box, "features", is_feature_list);
  if (!features.ok()) return features.failure();
  features_ = *parse_features(*features);
  const auto& offered = options_.registration.features;
  if (!std::includes(offered.begin(), offered.end(), features_.begin(), features_.end())) {
    return reader_.broken("chose features that were not offered: " + quoted_start(*features));
  }

  Box prove{{"_ask", prove_tag}, {"_command", "prove"}};
  for (const auto& [key, member, max] : registration_fields) {
    const std::string& value = options_.registration.*member;
    if (!value.empty() && value.size() <= max) prove.set(Bytes(key), value);
  }
  if (options_.enrols) prove.set("enrol", "1");
  if (options_.key) {
    transcript_->update(body(box) + body(prove));
    prove.set("mac", Bytes(hmac(derive(*options_.key, "slave").bytes(), transcript_->digest()).bytes()));
  }
  return encode(prove);
}

/// The master is who it should be, and all that was said before is what it heard.
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
                .keepalive = std::chrono::milliseconds(*from_decimal(*keepalive))};
  }

  if (box.has("keepalive")) return reader_.broken("sent a welcome that is open and refused");
  const auto reason = reader_.require(box, "reason", [](BytesView text) { return text.size() <= max_reason; });
  if (!reason.ok()) return reason.failure();
  const BytesView word = *box.get("refused");
  Step step{.action = Step::Action::refused, .refusal = refusal_of(word)};
  if (box.has("retry")) {
    const auto retry = reader_.require(box, "retry", is_number);
    if (!retry.ok()) return retry.failure();
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();  // 49 days: any clock can add them
    step.retry = std::chrono::milliseconds(std::min(*from_decimal(*retry), most));
  }
  step.failure = Failure{Errc::refused, "the master refuses this slave (" + escaped(word.substr(0, 64)) +
                                            "): " + without_controls(*reason)};
  return step;
}

}  // namespace remsh::auth
