// AnyHandshake: slaves of both generations, by bytes.
#include "master/any_handshake.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::from_hex;
using remsh::test::remsh1_golden::session;
using Action = AnyHandshake::Step::Action;

namespace {

AnyHandshake handshake(bool takes_originals) {
  auth::MasterHandshake::Options options;
  options.nonce = Bytes(auth::nonce_size, 'n');
  return {std::move(options), takes_originals};
}

Bytes register_box(BytesView name, BytesView version = "1") {
  return encode({{"hostname", name}, {"type", "register"}, {"version", version}});
}

}  // namespace

TEST_CASE("an original slave is registered by its one box, and told so") {
  AnyHandshake master = handshake(true);
  const Bytes recorded = from_hex(session[0].hex);
  CHECK(master.feed(BytesView(recorded).substr(0, 10)).action == Action::read);
  CHECK(master.feed(BytesView(recorded).substr(10)).action == Action::registered);
  CHECK(master.is_original());
  CHECK(master.registration().name == "worker1");
  CHECK(master.registration().hostname == "worker1");
  CHECK(master.registration().software.empty());
  SUBCASE("it may be taken") { CHECK(from_hex(session[1].hex).starts_with(master.open(1s))); }
  SUBCASE("or not, and is then cut off inside a box") {
    CHECK(master.refuse(auth::Refusal::name_in_use, "taken", 2s) == Bytes(1, '\0'));
  }
  SUBCASE("it has to wait for that") { CHECK(master.feed("x").failure.code == Errc::protocol_error); }
  SUBCASE("it may go") { CHECK(master.at_end().code == Errc::connection_lost); }
}

TEST_CASE("an original slave that cannot be taken is cut off inside a box, and the reason says what to do") {
  const auto refused = [](bool takes_originals, const Bytes& box, const char* words) {
    AnyHandshake master = handshake(takes_originals);
    const auto step = master.feed(box);
    CHECK(step.action == Action::fail);
    CHECK(step.bytes == Bytes(1, '\0'));
    CAPTURE(step.failure.message);
    CHECK(step.failure.message.find(words) != std::string::npos);
  };
  refused(false, register_box("w"), "ListenerOptions::remsh1 = true");
  refused(true, register_box("w", "2"), "version 2");
  refused(true, register_box(""), "no slave can have");
  refused(true, register_box("two words"), "'two words'");
  refused(true, register_box(Bytes(65, 'w')), "no slave can have");
}

TEST_CASE("an original slave comes only where slaves without keys do: it proves nothing") {
  auth::MasterHandshake::Options options;
  options.nonce = Bytes(auth::nonce_size, 'n');
  options.has_key = [](BytesView name) { return name == "w1"; };
  const auto refused = [&](BytesView name) -> std::string {
    AnyHandshake master(options, true);
    const auto step = master.feed(register_box(name));
    if (step.action == Action::registered) return "not refused";
    CHECK(step.action == Action::fail);
    CHECK(step.bytes == Bytes(1, '\0'));
    CHECK(step.failure.code == Errc::auth_failed);
    return step.failure.message;
  };
  CHECK(refused("w2") == "not refused");
  CHECK(refused("w1").find("but there is one for this name") != std::string::npos);
  SUBCASE("not at a listener that takes no slaves without keys") {
    options.keyless_allowed = false;
    CHECK(refused("w2").find("set `keyless` as well") != std::string::npos);
  }
  SUBCASE("not where TLS has proven somebody, whatever name it says") {
    options.psk_identity = "w1:01234567";
    CHECK(refused("w2").find("TLS has proven 'w1:01234567'") != std::string::npos);
  }
}

TEST_CASE("all others are left to today's handshake, with every byte") {
  for (const Bytes& bytes :
       {Bytes("GET / HTTP/1.1\r\n\r\n"), encode({{"type", "other"}}), encode({{"_ask", "1"}, {"_command", "hello"}})}) {
    for (const bool takes_originals : {false, true}) {
      AnyHandshake any = handshake(takes_originals);
      AnyHandshake::Step step;
      for (const char byte : bytes) {
        if (step.action == Action::read) step = any.feed(BytesView(&byte, 1));
      }
      auth::MasterHandshake::Options options;
      options.nonce = Bytes(auth::nonce_size, 'n');
      auth::MasterHandshake known(std::move(options));
      const auto expected = known.feed(bytes);
      CHECK_FALSE(any.is_original());
      CHECK(step.action == expected.action);
      CHECK(step.bytes == expected.bytes);
      CHECK(step.failure.message == expected.failure.message);
    }
  }
}

TEST_CASE("an end before the first box is one of today's handshake") {
  CHECK(handshake(true).at_end().message == handshake(false).at_end().message);
  CHECK_FALSE(handshake(true).is_original());
}
