// Tests of KeyWatch: what handshakes are told of passwords.
#include "master/key_watch.hpp"

#include <doctest/doctest.h>
#include <remsh/auth/key_ring.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> texts(const std::vector<auth::PasswordAnswer>& answers) {
  std::vector<std::string> found;
  found.reserve(answers.size());
  for (const auth::PasswordAnswer& answer : answers) found.emplace_back(answer.password.bytes());
  return found;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a handshake is told the passwords of a name as they are when it asks, for the address of its peer") {
  KeyRing ring;
  const auto near = ring.register_password("b1", "near", {{"127.0.0.0/8"}, {}, {{"rack", "b7"}}, false});
  const KeyWatch watch(auth::KeyStore::of(ring));
  const auto from_here = watch.passwords_as_seen_from(parse_ip_address("127.0.0.1"));
  const auto from_afar = watch.passwords_as_seen_from(parse_ip_address("192.0.2.7"));
  const auto from_nowhere = watch.passwords_as_seen_from(std::nullopt);
  CHECK(texts(from_here("b1")) == Texts{"near"});
  CHECK(from_here("b1").at(0).kid == near.key_id());
  CHECK(from_here("b1").at(0).labels.at("rack") == "b7");
  CHECK(from_afar("b1").empty());
  CHECK(from_nowhere("b1").empty());
  CHECK(from_here("b2").empty());

  auto anywhere = ring.register_password("b1", "anywhere");
  CHECK(texts(from_here("b1")) == Texts{"near", "anywhere"});
  CHECK(texts(from_afar("b1")) == Texts{"anywhere"});
  CHECK(texts(from_nowhere("b1")) == Texts{"anywhere"});
  anywhere.update(KeyTerms{{}, std::chrono::system_clock::now() - 1s, {}, false});
  CHECK(from_afar("b1").empty());
  anywhere.drop();
  CHECK(texts(from_here("b1")) == Texts{"near"});
}

TEST_CASE("the passwords that a handshake asks for outlive the watch and the ring") {
  std::optional<KeyRing> ring(std::in_place);
  auto b1 = ring->register_password("b1", "secret");
  std::optional<KeyWatch> watch(std::in_place, auth::KeyStore::of(*ring));
  const auto find = watch->passwords_as_seen_from(std::nullopt);
  watch.reset();
  ring.reset();
  CHECK(texts(find("b1")) == Texts{"secret"});
  b1.drop();
  CHECK(find("b1").empty());
}

TEST_CASE("neither a proof nor TLS takes a password for a key") {
  KeyRing ring;
  const auto b1 = ring.register_password("b1", "secret");
  const KeyWatch watch(auth::KeyStore::of(ring));
  const auth::KeyAnswer found = watch.as_seen_from(parse_ip_address("127.0.0.1"))->find("b1", b1.key_id());
  CHECK_FALSE(found.key);
  CHECK(found.reason == "a password, not a key");
  const TlsKey of_tls = KeyWatch::for_tls(auth::KeyStore::of(ring))("b1:" + b1.key_id());
  CHECK_FALSE(of_tls.key);
  CHECK(of_tls.reason == "a password, not a key");
}

TEST_CASE("a password that is registered, replaced or dropped makes a listener look at its connections") {
  KeyRing ring;
  KeyWatch watch(auth::KeyStore::of(ring));
  static_cast<void>(watch.look_at_clock());
  CHECK_FALSE(watch.look_at_clock());
  auto b1 = ring.register_password("b1", "secret");
  CHECK(watch.look_at_clock());
  b1.update_password("another");
  CHECK(watch.look_at_clock());
  b1.update(KeyTerms{{}, std::chrono::system_clock::now() + 1h, {}, false});
  CHECK(watch.look_at_clock());
  CHECK_FALSE(watch.look_at_clock());
  b1.drop();
  CHECK(watch.look_at_clock());
}
