#include "messages/proof.hpp"

#include "base/format.hpp"
#include "messages/hash_name.hpp"
#include "os/random.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace remsh::messages {

namespace {

constexpr std::string_view challenge_mark = "#CHALLENGE#";
constexpr std::string_view welcome = "#WELCOME#";
constexpr std::string_view failure = "#FAILURE#";

// The challenges and answers of Python up to 3.11, which have no name of a hash in front: MD5 is meant.
constexpr std::size_t old_challenge = 20;
constexpr std::size_t old_answer = 16;

Failure not_proven(std::string why) { return {Errc::auth_failed, std::move(why), 0}; }

ProofStep refusal(Failure why) { return {ProofStep::Then::close, Bytes(failure), std::move(why)}; }

constexpr const char* md5_advice =
    "; Python up to 3.11 knows no other hash: use a newer one, or allow it with require_sha256 = false";

}  // namespace

Bytes new_nonce() {
  Bytes nonce(40, '\0');
  random_bytes(nonce);
  return nonce;
}

ChallengeDeliverer::ChallengeDeliverer(AuthKey key, BytesView nonce, bool allow_md5)
    : key_(std::move(key)), challenge_(Bytes(name_in_front(Hash::sha256)) + Bytes(nonce)), allow_md5_(allow_md5) {}

Bytes ChallengeDeliverer::begin() const { return Bytes(challenge_mark) + challenge_; }

std::optional<Failure> ChallengeDeliverer::fault_of(BytesView answer) const {
  const auto named = take_hash_name(answer);
  if (!named && answer.size() != old_answer) {
    if (answer.starts_with(challenge_mark)) {
      return not_proven("a challenge came in place of an answer: the other side is a listener as well");
    }
    return not_proven("what came is no answer to the challenge: does the other side have an authkey?");
  }
  const Hash hash = named.value_or(Hash::md5);
  if (hash == Hash::md5 && !allow_md5_) return not_proven(formatted("the answer is one by MD5{}", md5_advice));
  const auto wanted = hmac(hash, key_.bytes(), challenge_);
  if (!wanted) return not_proven("libcrypto does not have the hash of the answer");
  if (!are_equal(*wanted, answer)) return not_proven("the digest that came is wrong: the other side has another key");
  return std::nullopt;
}

ProofStep ChallengeDeliverer::take(BytesView message) {
  if (auto fault = fault_of(message)) return refusal(*std::move(fault));
  return {ProofStep::Then::done, Bytes(welcome), {}};
}

Result<Bytes> ChallengeAnswerer::answer_to(BytesView challenge) const {
  BytesView rest = challenge;
  const auto named = take_hash_name(rest);
  if (challenge.size() < old_challenge) return not_proven("the challenge that came is too short");
  if (!named && challenge.size() != old_challenge) return not_proven("the challenge that came names no known hash");
  const Hash hash = named && challenge.size() != old_challenge ? *named : Hash::md5;
  if (hash == Hash::md5 && !allow_md5_) return not_proven(formatted("the challenge demands MD5{}", md5_advice));
  auto digest = hmac(hash, key_.bytes(), challenge);
  if (!digest) return not_proven("libcrypto does not have the hash that the challenge demands");
  if (challenge.size() == old_challenge) return *std::move(digest);
  return Bytes(name_in_front(hash)) + *digest;
}

ProofStep ChallengeAnswerer::take(BytesView message) {
  if (!answered_) {
    if (!message.starts_with(challenge_mark)) {
      return {ProofStep::Then::close, {}, not_proven("no challenge came: does the other side have an authkey?")};
    }
    auto answer = answer_to(message.substr(challenge_mark.size()));
    if (!answer) return {ProofStep::Then::close, {}, std::move(answer).failure()};
    answered_ = true;
    return {ProofStep::Then::read, *std::move(answer), {}};
  }
  if (message == welcome) return {ProofStep::Then::done, {}, {}};
  if (message == failure) {
    return {ProofStep::Then::close, {}, not_proven("the other side rejected our digest: it has another key")};
  }
  return {ProofStep::Then::close, {}, not_proven("neither a welcome nor a failure came after our digest")};
}

MutualProof::MutualProof(End end, const AuthKey& key, BytesView nonce, bool allow_md5)
    : deliverer_(key, nonce, allow_md5), answerer_(key, allow_md5), delivers_(end == End::listener) {}

Bytes MutualProof::begin() const { return delivers_ ? deliverer_.begin() : Bytes(); }

ProofStep MutualProof::take(BytesView message) {
  ProofStep step = delivers_ ? deliverer_.take(message) : answerer_.take(message);
  if (step.then != ProofStep::Then::done || std::exchange(is_second_, true)) return step;
  delivers_ = !delivers_;
  step.then = ProofStep::Then::read;
  if (delivers_) step.send = deliverer_.begin();
  return step;
}

}  // namespace remsh::messages
