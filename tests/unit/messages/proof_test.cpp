// The proofs of Python's connections: recorded ones, and all the ways to fail.
#include "messages/proof.hpp"

#include "golden/python_proofs.hpp"
#include "messages/hash_name.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::messages;
using test::from_hex;
using test::has;

namespace {

using Then = ProofStep::Then;

const AuthKey secret("secret");
const BytesView challenge_mark = "#CHALLENGE#";

/// The challenge of 40 bytes that a deliverer with this nonce sends.
Bytes challenge_with(const Bytes& nonce) { return "{sha256}" + nonce; }

Bytes nonce_in(BytesView challenge) { return Bytes(challenge.substr(challenge_mark.size() + 8)); }

std::string why_refused(ProofStep step) {
  REQUIRE(step.then == Then::close);
  CHECK(step.failure.code == Errc::auth_failed);
  return step.failure.message;
}

/// Runs both sides to their ends, and returns what was sent.
std::vector<Bytes> play(ProofSide& one, ProofSide& other, ProofStep& end_of_one, ProofStep& end_of_other) {
  std::vector<Bytes> sent;
  struct Side {
    ProofSide& proof;
    ProofStep& end;
  } sides[2] = {{one, end_of_one}, {other, end_of_other}};
  std::vector<Bytes> to[2];
  for (int i = 0; i < 2; ++i) {
    if (Bytes first = sides[i].proof.begin(); !first.empty()) to[1 - i].push_back(first);
  }
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < 2; ++i) {
      if (to[i].empty() || sides[i].end.then != Then::read) continue;
      moved = true;
      const Bytes message = to[i].front();
      to[i].erase(to[i].begin());
      sent.push_back(message);
      sides[i].end = sides[i].proof.take(message);
      if (!sides[i].end.send.empty()) to[1 - i].push_back(sides[i].end.send);
    }
  }
  return sent;
}

}  // namespace

TEST_CASE("recorded proofs of every Python are reproduced") {
  for (const auto& recorded : test::recorded_proofs()) {
    CAPTURE(recorded.listener);
    CAPTURE(recorded.client);
    // What a side of ours answers to the messages of the other side in the recording.
    for (const bool is_listener : {true, false}) {
      ChallengeAnswerer answerer(secret, true);
      ProofStep step;
      Bytes challenge;
      for (const auto& message : recorded.messages) {
        const Bytes bytes = from_hex(message.hex);
        const bool is_challenge = bytes.starts_with(challenge_mark);
        if (message.by_listener != is_listener && is_challenge) {
          step = answerer.take(bytes);
          challenge = bytes;
        } else if (message.by_listener == is_listener && !challenge.empty() && step.then == Then::read) {
          // A Python with a wrong key answers something else, and an old one answers a new challenge by MD5.
          const bool is_new = has(challenge, "{sha256}");
          const bool answers_as_we = !recorded.has_wrong_key && is_new == bytes.starts_with("{sha256}");
          CHECK((step.send == bytes) == answers_as_we);
          step.then = Then::done;
        }
      }
    }
    // Whether a deliverer of ours, with the recorded challenge of 48 bytes, accepts the recorded answer.
    for (std::size_t i = 0; i + 2 < recorded.messages.size(); ++i) {
      const Bytes challenge = from_hex(recorded.messages[i].hex);
      if (!has(challenge, "#CHALLENGE#{sha256}")) continue;
      ChallengeDeliverer deliverer(secret, nonce_in(challenge), true);
      CHECK(deliverer.begin() == challenge);
      const ProofStep step = deliverer.take(from_hex(recorded.messages[i + 1].hex));
      CHECK((step.then == Then::done) == !recorded.has_wrong_key);
      CHECK(step.send == from_hex(recorded.messages[i + 2].hex));
    }
  }
}

TEST_CASE("two of ours prove the key to each other by SHA-256, and never send it") {
  MutualProof listener(MutualProof::End::listener, secret, new_nonce(), false);
  MutualProof client(MutualProof::End::client, secret, new_nonce(), false);
  ProofStep listeners_end;
  ProofStep clients_end;
  const auto sent = play(listener, client, listeners_end, clients_end);
  CHECK(listeners_end.then == Then::done);
  CHECK(clients_end.then == Then::done);
  REQUIRE(sent.size() == 6);
  CHECK(sent[0].size() == 59);
  CHECK(sent[1].size() == 40);
  CHECK(sent[2] == "#WELCOME#");
  CHECK(sent[0] != sent[3]);
  for (const Bytes& message : sent) CHECK_FALSE(has(message, "secret"));
}

TEST_CASE("a thousand proofs hold no piece of the key") {
  const AuthKey key = random_authkey();
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    MutualProof listener(MutualProof::End::listener, key, new_nonce(), true);
    MutualProof client(MutualProof::End::client, key, new_nonce(), true);
    ProofStep listeners_end;
    ProofStep clients_end;
    for (const Bytes& message : play(listener, client, listeners_end, clients_end)) all += message;
    REQUIRE(clients_end.then == Then::done);
  }
  const BytesView bytes = key.bytes();
  for (std::size_t i = 0; i + 8 <= bytes.size(); ++i) CHECK_FALSE(has(all, Bytes(bytes.substr(i, 8))));
}

TEST_CASE("with different keys both sides fail") {
  MutualProof listener(MutualProof::End::listener, secret, new_nonce(), true);
  MutualProof client(MutualProof::End::client, AuthKey("guess"), new_nonce(), true);
  ProofStep listeners_end;
  ProofStep clients_end;
  const auto sent = play(listener, client, listeners_end, clients_end);
  CHECK(has(why_refused(listeners_end), "the other side has another key"));
  CHECK(has(why_refused(clients_end), "rejected our digest"));
  CHECK(sent.back() == "#FAILURE#");
}

TEST_CASE("a client that proves itself is not content with a listener that cannot") {
  // It welcomes everybody, whatever they answer.
  MutualProof client(MutualProof::End::client, secret, new_nonce(), true);
  CHECK(client.begin().empty());
  CHECK(client.take("#CHALLENGE#{sha256}" + Bytes(40, 'n')).then == Then::read);
  const ProofStep step = client.take("#WELCOME#");
  CHECK(step.then == Then::read);
  CHECK(step.send.starts_with(challenge_mark));
  const ProofStep end = client.take("{sha256}" + Bytes(32, 'x'));
  CHECK(end.send == "#FAILURE#");
  CHECK(has(why_refused(end), "another key"));
}

TEST_CASE("an answer is judged by the hash that it names, over the whole challenge") {
  const Bytes nonce(40, 'n');
  const Bytes challenge = challenge_with(nonce);
  const auto digest = [&](Hash hash, BytesView of) { return *hmac(hash, "secret", of); };
  const auto judge = [&](const Bytes& answer, bool allow_md5) {
    return ChallengeDeliverer(secret, nonce, allow_md5).take(answer);
  };
  for (const Hash hash : {Hash::sha256, Hash::sha384, Hash::sha3_256, Hash::sha3_384}) {
    const Bytes good = Bytes(name_in_front(hash)) + digest(hash, challenge);
    CHECK(judge(good, false).then == Then::done);
    CHECK(judge(good.substr(0, good.size() - 1), false).then == Then::close);
    CHECK(judge(good + "x", false).then == Then::close);
    CHECK(judge(digest(hash, challenge), true).then == Then::close);  // without its name
    CHECK(judge(Bytes(name_in_front(hash)) + digest(hash, nonce), true).then == Then::close);
  }
  const Bytes by_md5 = digest(Hash::md5, challenge);
  CHECK(judge(by_md5, true).then == Then::done);
  CHECK(judge("{md5}" + by_md5, true).then == Then::done);
  CHECK(has(why_refused(judge(by_md5, false)), "Python up to 3.11 knows no other hash"));
  CHECK(has(why_refused(judge("{md5}" + by_md5, false)), "require_sha256 = false"));
  CHECK(judge(digest(Hash::md5, nonce), true).then == Then::close);

  CHECK(has(why_refused(judge("hello", true)), "does the other side have an authkey?"));
  CHECK(has(why_refused(judge("", true)), "does the other side have an authkey?"));
  CHECK(has(why_refused(judge("{sha1}" + Bytes(20, 'x'), true)), "is no answer"));
  CHECK(has(why_refused(judge("#CHALLENGE#" + Bytes(20, 'x'), true)), "is a listener as well"));
}

TEST_CASE("a challenge is answered by the hash that it demands") {
  const auto answer = [](const Bytes& challenge, bool allow_md5) {
    return ChallengeAnswerer(secret, allow_md5).take("#CHALLENGE#" + challenge);
  };
  const auto digest = [&](Hash hash, BytesView of) { return *hmac(hash, "secret", of); };
  for (const Hash hash : {Hash::sha256, Hash::sha384, Hash::sha3_256, Hash::sha3_384}) {
    const Bytes challenge = Bytes(name_in_front(hash)) + Bytes(40, 'n');
    CHECK(answer(challenge, false).send == Bytes(name_in_front(hash)) + digest(hash, challenge));
  }
  const Bytes old(20, 'n');
  CHECK(answer(old, true).send == digest(Hash::md5, old));
  const Bytes looks_new = "{sha256}" + Bytes(12, 'n');  // of 20 bytes: MD5 is meant
  CHECK(answer(looks_new, true).send == digest(Hash::md5, looks_new));
  CHECK(answer("{md5}" + Bytes(40, 'n'), true).send == "{md5}" + digest(Hash::md5, "{md5}" + Bytes(40, 'n')));

  for (const Bytes& challenge : {old, looks_new, "{md5}" + Bytes(40, 'n')}) {
    const ProofStep step = answer(challenge, false);
    CHECK(step.send.empty());
    CHECK(has(why_refused(step), "demands MD5"));
  }
  CHECK(has(why_refused(answer(Bytes(19, 'n'), true)), "too short"));
  CHECK(has(why_refused(answer("", true)), "too short"));
  CHECK(has(why_refused(answer(Bytes(21, 'n'), true)), "names no known hash"));
  CHECK(has(why_refused(answer("{sha1}" + Bytes(40, 'n'), true)), "names no known hash"));
  CHECK(has(why_refused(ChallengeAnswerer(secret, true).take("hello")), "no challenge came"));
}

TEST_CASE("after an answer nothing but a welcome is welcome") {
  for (const Bytes& verdict : {Bytes("#FAILURE#"), Bytes("#WELCOME"), Bytes("#WELCOME#!"), Bytes(), Bytes("hello")}) {
    ChallengeAnswerer answerer(secret, false);
    REQUIRE(answerer.take("#CHALLENGE#{sha256}" + Bytes(40, 'n')).then == Then::read);
    const std::string why = why_refused(answerer.take(verdict));
    CHECK(has(why, verdict == "#FAILURE#" ? "rejected our digest" : "neither a welcome nor a failure"));
  }
}

TEST_CASE("an empty key is refused") {
  CHECK_THROWS_WITH_AS(AuthKey(""), "make an authkey: it is empty, and would prove nothing", Error);
  CHECK(random_authkey().bytes().size() == 32);
  CHECK(random_authkey().bytes() != random_authkey().bytes());
}
