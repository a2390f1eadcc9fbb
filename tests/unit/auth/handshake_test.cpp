// The first four boxes of a connection: docs/protocol.md section 4.
#include "auth/master_handshake.hpp"
#include "auth/slave_handshake.hpp"

#include "support/changed_box.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <remsh/connection/box_codec.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::auth;
using remsh::test::box_of;
using remsh::test::from_hex;
using remsh::test::has;
using remsh::test::to_hex;
using remsh::test::with;

namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;
using MasterAction = MasterHandshake::Step::Action;
using SlaveAction = SlaveHandshake::Step::Action;

const Bytes slave_nonce(nonce_size, 'a');
const Bytes master_nonce(nonce_size, 'b');

// The example of the protocol, byte for byte.
const Bytes hello_bytes = from_hex(
    "0004 5f61736b 0001 31  0008 5f636f6d6d616e64 0005 68656c6c6f  0008 6665617475726573 0000"
    "0004 6e616d65 0007 776f726b657231  0005 6e6f6e6365 0020"
    "6161616161616161616161616161616161616161616161616161616161616161"
    "0008 76657273696f6e73 0001 32  0000");
const Bytes challenge_bytes = from_hex(
    "0007 5f616e73776572 0001 31  0008 6665617475726573 0000  0005 6e6f6e6365 0020"
    "6262626262626262626262626262626262626262626262626262626262626262"
    "0007 76657273696f6e 0001 32  0000");
const Bytes prove_bytes = from_hex(
    "0004 5f61736b 0001 32  0008 5f636f6d6d616e64 0005 70726f7665  0007 62617365646972 0007 2f7372762f7731"
    "0008 686f73746e616d65 0002 7731  0008 736f667477617265 000b 72656d736820302e312e30"
    "0006 73797374656d 0005 6c696e7578  0000");
const Bytes welcome_bytes = from_hex("0007 5f616e73776572 0001 32  0009 6b656570616c697665 0005 3130303030  0000");
const Bytes failure_bytes = from_hex(
    "0006 5f6572726f72 0001 31  000b 5f6572726f725f636f6465 0004 41555448"
    "0012 5f6572726f725f6465736372697074696f6e 0015 61757468656e7469636174696f6e206661696c6564  0000");

const Registration worker{.name = "worker1",
                          .hostname = "w1",
                          .system = "linux",
                          .software = "remsh 0.1.0",
                          .basedir = "/srv/w1",
                          .features = {}};

/// Bytes of a box with its keys in the order given.
Bytes as_given(const std::vector<std::pair<Bytes, Bytes>>& fields) {
  Bytes bytes;
  BoxWriter writer(bytes);
  for (const auto& [key, value] : fields) writer.field(key, value);
  writer.end();
  return bytes;
}

/// An example with padding in a key of no meaning, so that it has exactly `size` bytes.
Bytes padded(BytesView example, std::size_t size) {
  return with(example, "zz", Bytes(size - example.size() - encoded_size("zz", ""), 'x'));
}

/// An example with keys of no meaning, so that it has exactly `count` of them.
Bytes with_fields(BytesView example, std::size_t count) {
  Box box = box_of(example);
  for (char c = 'A'; box.size() < count; ++c) box.set("z"s + c, "");
  return encode(box);
}

MasterHandshake master(MasterHandshake::Options options = {.features = {}, .nonce = master_nonce}) {
  return MasterHandshake(std::move(options));
}

/// A master that has sent its challenge.
MasterHandshake master_in_m1() {
  auto handshake = master();
  REQUIRE(handshake.feed(hello_bytes).action == MasterAction::send);
  return handshake;
}

/// A master that waits for arbitration.
MasterHandshake master_in_m2() {
  auto handshake = master_in_m1();
  REQUIRE(handshake.feed(prove_bytes).action == MasterAction::registered);
  return handshake;
}

/// A slave that has sent its hello.
SlaveHandshake slave_in_s1(Registration registration = worker) {
  SlaveHandshake handshake({.registration = std::move(registration), .nonce = slave_nonce});
  handshake.start();
  return handshake;
}

/// A slave that has sent its prove.
SlaveHandshake slave_in_s2() {
  auto handshake = slave_in_s1();
  REQUIRE(handshake.feed(challenge_bytes).action == SlaveAction::send);
  return handshake;
}

/// Feeds one byte after the other, until there is something else to do than to read on.
template <class Handshake>
typename Handshake::Step feed_bytewise(Handshake& handshake, BytesView bytes) {
  typename Handshake::Step step;
  for (std::size_t i = 0; i < bytes.size() && step.action == Handshake::Step::Action::read; ++i) {
    const Bytes one(1, bytes[i]);  // at an address of its own, so that a view kept too long is found
    step = handshake.feed(one);
  }
  return step;
}

struct Case {
  std::string title;
  Bytes bytes;
  const char* reason;  // a part of what the log says
};

/// Each case, at once and byte by byte, must be answered with `action` and its reason, and with `answer`.
template <class Make>
void check_cases(Make make, auto action, Errc code, BytesView answer, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    for (const bool bytewise : {false, true}) {
      CAPTURE(one.title);
      CAPTURE(bytewise);
      auto handshake = make();
      const auto step = bytewise ? feed_bytewise(handshake, one.bytes) : handshake.feed(one.bytes);
      CAPTURE(step.failure.message);
      CHECK((step.action == action));
      CHECK((step.failure.code == code));
      CHECK(to_hex(step.bytes) == to_hex(answer));
      CHECK(has(step.failure.message, one.reason));
    }
  }
}

/// No proper prefix of the bytes may make a handshake do anything but read on.
template <class Make>
void check_cuts(Make make, BytesView bytes) {
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    auto handshake = make();
    const auto step = handshake.feed(bytes.substr(0, size));
    REQUIRE((step.action == decltype(step.action)::read));
    CHECK(handshake.at_end().code == Errc::connection_lost);
    CHECK(has(handshake.at_end().message, "inside a box") == (size > 0));
  }
}

// The malformed variations of values that hello and the challenge share.
std::vector<Case> bad_features(BytesView example) {
  return {{"features missing", with(example, "features", {}), "without 'features'"},
          {"a feature in upper case", with(example, "features", "Gzip"), "malformed 'features'"},
          {"a feature too long", with(example, "features", Bytes(33, 'a')), "malformed 'features'"},
          {"features descending", with(example, "features", "b a"), "malformed 'features'"},
          {"a feature twice", with(example, "features", "a a"), "malformed 'features'"},
          {"two spaces", with(example, "features", "a  b"), "malformed 'features'"},
          {"a space before", with(example, "features", " a"), "malformed 'features'"},
          {"a space behind", with(example, "features", "a "), "malformed 'features'"},
          {"a space alone", with(example, "features", " "), "malformed 'features'"},
          {"a comma", with(example, "features", "a,b"), "malformed 'features'"},
          {"a tab", with(example, "features", "a\tb"), "malformed 'features': 'a\\x09b'"}};
}

std::vector<Case> bad_nonces(BytesView example, const Bytes& of_the_other) {
  return {{"nonce missing", with(example, "nonce", {}), "without 'nonce'"},
          {"nonce empty", with(example, "nonce", ""), "malformed 'nonce'"},
          {"nonce too short", with(example, "nonce", Bytes(31, 'n')), "malformed 'nonce'"},
          {"nonce too long", with(example, "nonce", Bytes(33, 'n')), "malformed 'nonce'"},
          {"the other's nonce", with(example, "nonce", of_the_other), "our own nonce"}};
}

std::vector<Case> bad_boxes(BytesView example) {
  return {{"an empty box", "\0\0"s, "an empty box"},
          {"no AMP", "\xff\xff\xff\xff", "key length over 255"},
          {"a key in '_' of no meaning", with(example, "_x", ""), "'_x', which does not belong here"},
          {"a box too large", Bytes(example.substr(0, example.size() - 2)) + from_hex("0002 7a7a ffff"), "too large"},
          {"33 pairs", with_fields(example, 33), "too many fields"}};
}

std::vector<Case> bad_calls(BytesView example) {
  return {{"tag missing", with(example, "_ask", {}), "without '_ask'"},
          {"tag empty", with(example, "_ask", ""), "malformed '_ask'"},
          {"tag too long", with(example, "_ask", Bytes(17, '1')), "malformed '_ask'"},
          {"command missing", with(example, "_command", {}), "without '_command'"},
          {"an answer", encode(Box{{"_answer", "1"}}), "without '_ask'"},
          {"a failure", failure_bytes, "without '_ask'"},
          {"a call with an answer's tag", with(example, "_answer", "1"), "'_answer', which does not belong here"},
          {"another command", with(example, "_command", "execute"), "called 'execute'"},
          {"a command of odd bytes", with(example, "_command", "a\nb\xff"), "called 'a\\x0Ab\\xFF'"},
          {"no command at all", with(example, "_command", ""), "called ''"}};
}

template <class... Lists>
std::vector<Case> all_of(const Lists&... lists) {
  std::vector<Case> result;
  (result.insert(result.end(), lists.begin(), lists.end()), ...);
  return result;
}

}  // namespace

TEST_CASE("the master gives the bytes of the protocol's example") {
  auto handshake = master();
  const auto challenge = handshake.feed(hello_bytes);
  CHECK(challenge.action == MasterAction::send);
  CHECK(to_hex(challenge.bytes) == to_hex(challenge_bytes));
  CHECK(handshake.feed(prove_bytes).action == MasterAction::registered);
  CHECK((handshake.registration() == worker));
  CHECK(to_hex(handshake.open(10s)) == to_hex(welcome_bytes));
}

TEST_CASE("the slave gives the bytes of the protocol's example") {
  SlaveHandshake handshake({.registration = worker, .nonce = slave_nonce});
  CHECK(to_hex(handshake.start()) == to_hex(hello_bytes));
  const auto prove = handshake.feed(challenge_bytes);
  CHECK(prove.action == SlaveAction::send);
  CHECK(to_hex(prove.bytes) == to_hex(prove_bytes));
  const auto welcome = handshake.feed(welcome_bytes);
  CHECK(welcome.action == SlaveAction::open);
  CHECK(welcome.keepalive == 10s);
  CHECK(welcome.bytes.empty());
}

TEST_CASE("bytes that come one by one give the same") {
  auto one_side = master();
  const auto challenge = feed_bytewise(one_side, hello_bytes);
  CHECK(challenge.action == MasterAction::send);
  CHECK(to_hex(challenge.bytes) == to_hex(challenge_bytes));
  CHECK(feed_bytewise(one_side, prove_bytes).action == MasterAction::registered);
  CHECK((one_side.registration() == worker));

  auto other_side = slave_in_s1();
  const auto prove = feed_bytewise(other_side, challenge_bytes);
  CHECK(prove.action == SlaveAction::send);
  CHECK(to_hex(prove.bytes) == to_hex(prove_bytes));
  const auto welcome = feed_bytewise(other_side, welcome_bytes);
  CHECK(welcome.action == SlaveAction::open);
  CHECK(welcome.keepalive == 10s);
}

TEST_CASE("a cut at any byte neither registers nor opens") {
  check_cuts([] { return master(); }, hello_bytes);
  check_cuts([] { return master_in_m1(); }, prove_bytes);
  check_cuts([] { return slave_in_s1(); }, challenge_bytes);
  check_cuts([] { return slave_in_s2(); }, welcome_bytes);
}

TEST_CASE("a connection that ends says in which state") {
  CHECK(has(master().at_end().message, "the connection to the slave ended (while hello"));
  CHECK(has(master_in_m1().at_end().message, "prove was awaited"));
  CHECK(has(master_in_m2().at_end().message, "before the welcome was sent"));
  CHECK(has(slave_in_s1().at_end().message, "the connection to the master ended (while the challenge"));
  CHECK(has(slave_in_s2().at_end().message, "the welcome was awaited"));
}

TEST_CASE("a peer that speaks something else is told by its first bytes") {
  check_cases([] { return master(); }, MasterAction::close, Errc::protocol_error, "",
              {{"GET", "GET / HTTP/1.1\r\n\r\n", "an HTTP request (while hello"},
               {"POST", "POST /x HTTP/1.1\r\n", "an HTTP request"},
               {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP/2 request"},
               {"TLS", from_hex("1603 0102 0001 0001 fc03"), "a TLS greeting"},
               {"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "an SSH greeting"},
               {"text", "hello, is there anybody\n", "key length over 255"},
               {"remsh 1", as_given({{"type", "register"}, {"hostname", "h"}, {"version", "1"}}), "remsh 1"}});
  check_cases([] { return slave_in_s1(); }, SlaveAction::failed, Errc::protocol_error, "",
              {{"HTTP", "HTTP/1.1 400 Bad Request\r\n", "an HTTP answer (while the challenge"},
               {"TLS", from_hex("1503 0300 0202 46"), "a TLS alert"},
               {"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "an SSH greeting"}});
}

TEST_CASE("the master closes on anything but hello") {
  check_cases([] { return master(); }, MasterAction::close, Errc::protocol_error, "",
              all_of(bad_boxes(hello_bytes), bad_calls(hello_bytes), bad_features(hello_bytes),
                     bad_nonces(hello_bytes, master_nonce),
                     std::vector<Case>{
                         {"prove first", prove_bytes, "called 'prove' (while hello"},
                         {"features of 513 bytes",
                          with(hello_bytes, "features",
                               [] {
                                 Bytes list;
                                 for (char c = 'a'; list.size() < 496; ++c) list += Bytes(30, c) + ' ';
                                 return list + Bytes(513 - list.size(), 'z');
                               }()),
                          "malformed 'features'"},
                         {"name missing", with(hello_bytes, "name", {}), "without 'name'"},
                         {"name empty", with(hello_bytes, "name", ""), "malformed 'name'"},
                         {"name too long", with(hello_bytes, "name", Bytes(65, 'n')), "malformed 'name'"},
                         {"name with a dot first", with(hello_bytes, "name", ".."), "malformed 'name'"},
                         {"name with a dash first", with(hello_bytes, "name", "-w"), "malformed 'name'"},
                         {"name with a slash", with(hello_bytes, "name", "a/b"), "malformed 'name'"},
                         {"name with a newline", with(hello_bytes, "name", "a\n"), "malformed 'name': 'a\\x0A'"},
                         {"name with a zero byte", with(hello_bytes, "name", "a\0"s), "malformed 'name'"},
                         {"name not in ASCII", with(hello_bytes, "name", "w\xc3\xa4"), "malformed 'name'"},
                         {"versions missing", with(hello_bytes, "versions", {}), "without 'versions'"},
                         {"versions with a leading zero", with(hello_bytes, "versions", "02"), "malformed 'versions'"},
                         {"versions descending", with(hello_bytes, "versions", "3 2"), "malformed 'versions'"},
                         {"a version twice", with(hello_bytes, "versions", "2 2"), "malformed 'versions'"},
                         {"versions that are no numbers", with(hello_bytes, "versions", "2 x"), "malformed 'versions'"},
                         {"a negative version", with(hello_bytes, "versions", "-2"), "malformed 'versions'"},
                         {"kid in upper case", with(hello_bytes, "kid", "4962DC04"), "malformed 'kid'"},
                         {"kid too short", with(hello_bytes, "kid", "4962dc0"), "malformed 'kid'"},
                         {"kid empty", with(hello_bytes, "kid", ""), "malformed 'kid'"},
                         {"keys not ascending", as_given({{"_command", "hello"}, {"_ask", "1"}, {"name", "w"}}),
                          "not in ascending order"},
                         {"the same key twice", as_given({{"_ask", "1"}, {"_ask", "1"}}), "the same key twice"},
                         {"1025 bytes", padded(hello_bytes, 1025), "too large"}}));
}

TEST_CASE("the master answers a hello that it cannot serve with the failure") {
  check_cases([] { return master(); }, MasterAction::fail, Errc::auth_failed, failure_bytes,
              {{"a key", with(hello_bytes, "kid", "4962dc04"), "'worker1' has the key '4962dc04'"},
               {"no version", with(hello_bytes, "versions", ""), "none of our versions"},
               {"a later version", with(hello_bytes, "versions", "3"), "in '3'"},
               {"versions that look like ours", with(hello_bytes, "versions", "1 20 22"), "in '1 20 22'"}});
  check_cases([] { return master({.features = {}, .nonce = master_nonce, .keyless_allowed = false}); },
              MasterAction::fail, Errc::auth_failed, failure_bytes,
              {{"no key where one is asked for", hello_bytes, "'worker1' has no key"}});
}

TEST_CASE("the master closes on anything but prove once it has sent its challenge") {
  std::vector<Case> too_long;
  for (const auto& [key, max] : {std::pair("basedir", 1024),
                                 {"boot", 64},
                                 {"hostname", 255},
                                 {"instance", 64},
                                 {"software", 64},
                                 {"system", 64},
                                 {"labels", 1024},
                                 {"resources", 256},
                                 {"check", 1}}) {
    too_long.push_back({key, with(prove_bytes, key, Bytes(static_cast<std::size_t>(max) + 1, 'x')), "over"});
  }
  check_cases(
      [] { return master_in_m1(); }, MasterAction::close, Errc::protocol_error, "",
      all_of(
          bad_boxes(prove_bytes), bad_calls(prove_bytes), too_long,
          std::vector<Case>{
              {"hello again", hello_bytes, "called 'hello' (while prove"},
              {"keys not ascending", as_given({{"_command", "prove"}, {"_ask", "2"}}), "not in ascending"},
              {"the same key twice", as_given({{"_ask", "2"}, {"_command", "prove"}, {"_command", "prove"}}), "twice"},
              {"HTTP", "GET / HTTP/1.1\r\n", "key length over 255"},
              {"labels without values", with(prove_bytes, "labels", "gpu"), "sent malformed labels"},
              {"labels out of order", with(prove_bytes, "labels", "os=a gpu=b"), "sent malformed labels"},
              {"a resource without a count", with(prove_bytes, "resources", "gpu"), "sent malformed resources"},
              {"resources out of order", with(prove_bytes, "resources", "tape=1 gpu=1"), "sent malformed resources"},
              {"nothing of a resource", with(prove_bytes, "resources", "gpu=0"), "sent malformed resources"},
              {"labels with controls", with(prove_bytes, "labels", "os=a\x1b[1m"), "sent malformed labels"},
              {"3073 bytes", padded(prove_bytes, 3073), "too large"}}));
}

TEST_CASE("a proof of a key that was not named closes") {
  check_cases([] { return master_in_m1(); }, MasterAction::close, Errc::protocol_error, "",
              {{"mac", with(prove_bytes, "mac", Bytes(32, 'm')), "without the id of a key"},
               {"mac of any length", with(prove_bytes, "mac", ""), "without the id of a key"}});
}

TEST_CASE("bytes behind a box that must be answered first close") {
  for (const Bytes& more : {"x"s, prove_bytes, Bytes(100'000, '\0')}) {
    auto handshake = master();
    const auto step = handshake.feed(hello_bytes + more);
    CHECK(step.action == MasterAction::close);
    CHECK(has(step.failure.message, "went on before hello was answered"));
  }
  {
    auto handshake = master();
    // Also where the failure would be due: it is never sent to who did not wait for it.
    CHECK(handshake.feed(with(hello_bytes, "kid", "4962dc04") + "x").action == MasterAction::close);
  }
  {
    auto handshake = master_in_m1();
    const auto step = handshake.feed(prove_bytes + '\0');
    CHECK(step.action == MasterAction::close);
    CHECK(has(step.failure.message, "went on before prove was answered"));
  }
  {
    auto handshake = slave_in_s1();
    const auto step = handshake.feed(challenge_bytes + welcome_bytes);
    CHECK(step.action == SlaveAction::failed);
    CHECK(has(step.failure.message, "went on before the challenge was answered"));
  }
}

TEST_CASE("a byte before the welcome closes") {
  auto handshake = master_in_m2();
  CHECK(handshake.feed("").action == MasterAction::read);
  const auto step = handshake.feed("\0"s);
  CHECK(step.action == MasterAction::close);
  CHECK(step.failure.code == Errc::protocol_error);
  CHECK(has(step.failure.message, "before its welcome (before the welcome"));
}

TEST_CASE("after its end a handshake takes nothing, not even what would have been right") {
  auto closed = master();
  REQUIRE(closed.feed("\0\0"s).action == MasterAction::close);
  CHECK(closed.feed(hello_bytes).action == MasterAction::close);

  auto failed = master();
  REQUIRE(failed.feed(with(hello_bytes, "versions", "3")).action == MasterAction::fail);
  CHECK(failed.feed(prove_bytes).action == MasterAction::close);

  auto welcomed = master_in_m2();
  welcomed.open(1s);
  CHECK(welcomed.feed(hello_bytes).action == MasterAction::close);

  auto given_up = slave_in_s1();
  REQUIRE(given_up.feed(failure_bytes).action == SlaveAction::failed);
  CHECK(given_up.feed(challenge_bytes).action == SlaveAction::failed);
}

TEST_CASE("boxes up to their limits are taken") {
  CHECK(master().feed(padded(hello_bytes, 1024)).action == MasterAction::send);
  CHECK(master().feed(with_fields(hello_bytes, 32)).action == MasterAction::send);
  CHECK(master_in_m1().feed(padded(prove_bytes, 3072)).action == MasterAction::registered);
  CHECK(slave_in_s1().feed(padded(challenge_bytes, 1024)).action == SlaveAction::send);
  CHECK(slave_in_s1().feed(with_fields(challenge_bytes, 32)).action == SlaveAction::send);
  CHECK(slave_in_s2().feed(padded(welcome_bytes, 1024)).action == SlaveAction::open);
}

TEST_CASE("keys that are not listed are ignored") {
  CHECK(to_hex(master().feed(with(hello_bytes, "zeal", "\xff")).bytes) == to_hex(challenge_bytes));
  CHECK(master_in_m1().feed(with(prove_bytes, "zeal", "old")).action == MasterAction::registered);
  CHECK(slave_in_s1().feed(with(challenge_bytes, "zeal", "")).action == SlaveAction::send);
  CHECK(slave_in_s2().feed(with(welcome_bytes, "zeal", "60000")).action == SlaveAction::open);
}

TEST_CASE("the master answers with the tag that it was asked with") {
  auto handshake = master();
  const Bytes tag = "\0\xff sixteen bytes"s.substr(0, 16);
  CHECK(to_hex(handshake.feed(with(hello_bytes, "_ask", tag)).bytes) == to_hex(with(challenge_bytes, "_answer", tag)));
  CHECK(handshake.feed(with(prove_bytes, "_ask", "x")).action == MasterAction::registered);
  CHECK(to_hex(handshake.open(10s)) == to_hex(with(welcome_bytes, "_answer", "x")));
}

TEST_CASE("our version is found among several") {
  CHECK(master().feed(with(hello_bytes, "versions", "1 2 3")).action == MasterAction::send);
  CHECK(master().feed(with(hello_bytes, "versions", "10 2")).action == MasterAction::send);  // by the alphabet
}

TEST_CASE("a registration may tell nothing, and may hold any bytes") {
  auto silent = master_in_m1();
  CHECK(silent.feed(encode(Box{{"_ask", "2"}, {"_command", "prove"}})).action == MasterAction::registered);
  CHECK((silent.registration() == Registration{.name = "worker1"}));

  auto odd = master_in_m1();
  CHECK(odd.feed(with(prove_bytes, "basedir", "\0\xff\n"s)).action == MasterAction::registered);
  CHECK(odd.registration().basedir == "\0\xff\n"s);
}

TEST_CASE("labels, resources and the wish for a check are a part of the registration") {
  auto handshake = master_in_m1();
  const Bytes prove =
      with(with(with(prove_bytes, "labels", "gpu=a100 os=linux"), "resources", "gpu=2 slots=4"), "check", "1");
  REQUIRE(handshake.feed(prove).action == MasterAction::registered);
  CHECK(handshake.registration().labels == "gpu=a100 os=linux");
  CHECK(handshake.registration().resources == "gpu=2 slots=4");
  CHECK(handshake.registration().check == "1");
  const Bytes welcome = handshake.refuse(Refusal::checked, "the check was passed");
  CHECK(box_of(welcome).get("refused") == "checked");
  Registration checking = worker;
  checking.labels = "gpu=a100 os=linux";
  checking.resources = "gpu=2 slots=4";
  checking.check = "1";
  auto slave = slave_in_s1(checking);
  CHECK(slave.feed(challenge_bytes).bytes == prove);
  const auto step = slave.feed(welcome);
  CHECK(step.action == SlaveAction::refused);
  CHECK(step.refusal == Refusal::checked);
}

TEST_CASE("a slave leaves out of its registration what is too long for it") {
  Registration registration = worker;
  registration.basedir = "/" + Bytes(1024, 'd');
  registration.software = Bytes(64, 's');
  registration.system = "";
  const auto prove = box_of(slave_in_s1(registration).feed(challenge_bytes).bytes);
  CHECK_FALSE(prove.has("basedir"));
  CHECK_FALSE(prove.has("system"));
  CHECK(prove.get("software") == Bytes(64, 's'));
  CHECK(prove.get("hostname") == "w1");
}

TEST_CASE("features in force are those that both want, in order and once") {
  Registration registration = worker;
  registration.features = {"trace", "bulk", "detach", "bulk"};
  SlaveHandshake one_side({.registration = registration, .nonce = slave_nonce});
  auto other_side = master({.features = {"zstd", "trace", "bulk"}, .nonce = master_nonce});

  const Bytes hello = one_side.start();
  CHECK(box_of(hello).get("features") == "bulk detach trace");
  const Bytes challenge = other_side.feed(hello).bytes;
  CHECK(box_of(challenge).get("features") == "bulk trace");
  CHECK(other_side.feed(one_side.feed(challenge).bytes).action == MasterAction::registered);
  const auto last = one_side.feed(other_side.open(1s));
  CHECK(last.action == SlaveAction::open);
  const std::vector<std::string> expected{"bulk", "trace"};
  CHECK(last.features == expected);
  CHECK(other_side.registration().features == expected);
}

TEST_CASE("the slave gives up on anything but the challenge") {
  check_cases(
      [] { return slave_in_s1(); }, SlaveAction::failed, Errc::protocol_error, "",
      all_of(bad_boxes(challenge_bytes), bad_features(challenge_bytes), bad_nonces(challenge_bytes, slave_nonce),
             std::vector<Case>{
                 {"a feature not offered", with(challenge_bytes, "features", "resume"), "not offered"},
                 {"version missing", with(challenge_bytes, "version", {}), "without 'version'"},
                 {"another version", with(challenge_bytes, "version", "3"), "malformed 'version': '3'"},
                 {"our version, otherwise spelt", with(challenge_bytes, "version", "02"), "malformed"},
                 {"no tag", with(challenge_bytes, "_answer", {}), "without '_answer'"},
                 {"another tag", with(challenge_bytes, "_answer", "2"), "answered what was not asked"},
                 {"a tag in upper case", with(challenge_bytes, "_answer", ""), "answered what was not asked"},
                 {"a call", hello_bytes, "without '_answer'"},
                 {"a call with an answer's tag", with(challenge_bytes, "_ask", "1"), "'_ask', which does not"},
                 {"keys not ascending", as_given({{"features", ""}, {"_answer", "1"}}), "not in ascending"},
                 {"1025 bytes", padded(challenge_bytes, 1025), "too large"}}));
}

TEST_CASE("the slave gives up on anything but the welcome once it has sent its prove") {
  const Bytes refused = encode(Box{{"_answer", "2"}, {"reason", "full"}, {"refused", "full"}});
  check_cases([] { return slave_in_s2(); }, SlaveAction::failed, Errc::protocol_error, "",
              all_of(bad_boxes(welcome_bytes),
                     std::vector<Case>{
                         {"the challenge again", challenge_bytes, "answered what was not asked (while the welcome"},
                         {"another tag", with(welcome_bytes, "_answer", "3"), "answered what was not asked"},
                         {"neither open nor refused", with(welcome_bytes, "keepalive", {}), "without 'keepalive'"},
                         {"keepalive 0", with(welcome_bytes, "keepalive", "0"), "malformed 'keepalive'"},
                         {"keepalive too long", with(welcome_bytes, "keepalive", "3600001"), "malformed 'keepalive'"},
                         {"keepalive with a leading zero", with(welcome_bytes, "keepalive", "010"), "malformed"},
                         {"keepalive negative", with(welcome_bytes, "keepalive", "-1"), "malformed 'keepalive'"},
                         {"keepalive empty", with(welcome_bytes, "keepalive", ""), "malformed 'keepalive'"},
                         {"keepalive in seconds", with(welcome_bytes, "keepalive", "10s"), "malformed 'keepalive'"},
                         {"a mac that was not asked for", with(welcome_bytes, "mac", Bytes(32, 'm')), "proves a key"},
                         {"refused with a mac", with(refused, "mac", Bytes(32, 'm')), "proves a key"},
                         {"open and refused", with(refused, "keepalive", "1000"), "open and refused"},
                         {"refused without a reason", with(refused, "reason", {}), "without 'reason'"},
                         {"a reason too long", with(refused, "reason", Bytes(257, 'r')), "malformed 'reason'"},
                         {"retry in seconds", with(refused, "retry", "2s"), "malformed 'retry'"},
                         {"retry negative", with(refused, "retry", "-1"), "malformed 'retry'"},
                         {"a call first", encode(Box{{"_ask", "1"}, {"_command", "ping"}}), "without '_answer'"},
                         {"1025 bytes", padded(welcome_bytes, 1025), "too large"}}));
}

TEST_CASE("the slave knows the failure in either state, and takes no other error for it") {
  const auto check = [](auto make, const Bytes& failure) {
    check_cases(make, SlaveAction::failed, Errc::auth_failed, "", {{"failure", failure, "its log says why"}});
    check_cases(make, SlaveAction::failed, Errc::protocol_error, "",
                {{"another tag", with(failure, "_error", "9"), "not asked"},
                 {"another code", with(failure, "_error_code", "UNHANDLED"), "the error 'UNHANDLED'"},
                 {"another description", with(failure, "_error_description", "no"), "the error 'AUTH' 'no'"},
                 {"no code", with(failure, "_error_code", {}), "without '_error_code'"},
                 {"no description", with(failure, "_error_description", {}), "without '_error_description'"},
                 {"error and answer", with(failure, "_answer", "1"), "'_answer', which does not belong here"}});
  };
  check([] { return slave_in_s1(); }, failure_bytes);
  check([] { return slave_in_s2(); }, with(failure_bytes, "_error", "2"));
}

TEST_CASE("bytes behind the welcome belong to what follows") {
  const Bytes call = encode(Box{{"_ask", "1"}, {"_command", "getenv"}});
  for (const Bytes& more : {""s, "\0"s, call, call + call.substr(0, 5), Bytes(100'000, 'x')}) {
    const auto step = slave_in_s2().feed(welcome_bytes + more);
    CHECK(step.action == SlaveAction::open);
    CHECK((step.bytes == more));
  }
  auto cut = slave_in_s2();
  CHECK(cut.feed(welcome_bytes.substr(0, 9)).action == SlaveAction::read);
  const auto step = cut.feed(welcome_bytes.substr(9) + call);
  CHECK(step.action == SlaveAction::open);
  CHECK(to_hex(step.bytes) == to_hex(call));
}

TEST_CASE("the keepalive is told in full, within its limits") {
  const auto told = [](std::chrono::milliseconds keepalive) {
    return slave_in_s2().feed(master_in_m2().open(keepalive)).keepalive;
  };
  CHECK(told(1ms) == 1ms);
  CHECK(told(12'345ms) == 12'345ms);
  CHECK(told(1h) == 1h);
  CHECK(told(2h) == 1h);
  CHECK(told(0ms) == 1ms);
  CHECK(told(std::chrono::milliseconds::min()) == 1ms);
}

TEST_CASE("a refusal comes with its word, its reason, and when to come back") {
  const Bytes welcome = master_in_m2().refuse(Refusal::name_in_use, "worker1 is here already", 2s);
  CHECK(to_hex(welcome) == to_hex(from_hex("0007 5f616e73776572 0001 32"
                                           "0006 726561736f6e 0017 776f726b657231206973206865726520616c7265616479"
                                           "0007 72656675736564 000b 6e616d655f696e5f757365"
                                           "0005 7265747279 0004 32303030  0000")));
  const auto step = slave_in_s2().feed(welcome);
  CHECK(step.action == SlaveAction::refused);
  CHECK(step.refusal == Refusal::name_in_use);
  CHECK(step.retry == 2s);
  CHECK(step.failure.code == Errc::refused);
  CHECK(step.failure.message == "the master refuses this slave (name_in_use): worker1 is here already");
}

TEST_CASE("every word of a refusal is understood, and unknown ones are taken like rejected") {
  for (const Refusal refusal :
       {Refusal::name_in_use, Refusal::draining, Refusal::full, Refusal::features, Refusal::rejected}) {
    CAPTURE(to_string(refusal));
    CHECK(refusal_of(to_string(refusal)) == refusal);
    const auto step = slave_in_s2().feed(master_in_m2().refuse(refusal, ""));
    CHECK(step.action == SlaveAction::refused);
    CHECK(step.refusal == refusal);
    CHECK_FALSE(step.retry.has_value());
  }
  const auto step =
      slave_in_s2().feed(encode(Box{{"_answer", "2"}, {"reason", "x\n\x1b[2J"}, {"refused", "too\nloud"}}));
  CHECK(step.action == SlaveAction::refused);
  CHECK(step.refusal == Refusal::rejected);
  CHECK(step.failure.message == "the master refuses this slave (too\\x0Aloud): x\\x0A\\x1B[2J");
}

TEST_CASE("a reason is cut between two characters") {
  const auto reason = [](const Bytes& text) {
    return Bytes(*box_of(master_in_m2().refuse(Refusal::rejected, text)).get("reason"));
  };
  CHECK(reason(Bytes(256, 'r')) == Bytes(256, 'r'));
  CHECK(reason(Bytes(257, 'r')) == Bytes(256, 'r'));
  CHECK(reason(Bytes(255, 'r') + "\xc3\xa4") == Bytes(255, 'r'));
  CHECK(reason(Bytes(254, 'r') + "\xc3\xa4\xc3\xa4") == Bytes(254, 'r') + "\xc3\xa4");
  CHECK(reason(Bytes(300, '\x80')).size() <= 256);  // no UTF-8 at all
}

TEST_CASE("a time to come back is never longer than a clock can add") {
  const auto retry = [](const char* text) {
    return slave_in_s2()
        .feed(encode(Box{{"_answer", "2"}, {"reason", ""}, {"refused", "full"}, {"retry", text}}))
        .retry;
  };
  CHECK(retry("0") == 0ms);
  CHECK(retry("18446744073709551615") == 4'294'967'295ms);
  CHECK(box_of(master_in_m2().refuse(Refusal::full, "", -1ms)).get("retry") == "0");
}

TEST_CASE("both sides come to an end together, however their bytes are cut") {
  for (std::size_t piece = 1; piece <= 40; ++piece) {
    CAPTURE(piece);
    SlaveHandshake one_side({.registration = worker, .nonce = slave_nonce});
    auto other_side = master();
    const auto send = [piece](auto& to, const Bytes& bytes) {
      auto step = to.feed("");
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        CHECK((step.action == decltype(step.action)::read));
        step = to.feed(bytes.substr(at, piece));
      }
      return step;
    };
    const Bytes challenge = send(other_side, one_side.start()).bytes;
    const auto registered = send(other_side, send(one_side, challenge).bytes);
    CHECK(registered.action == MasterAction::registered);
    CHECK((other_side.registration() == worker));
    const auto open = send(one_side, other_side.open(5s));
    CHECK(open.action == SlaveAction::open);
    CHECK(open.keepalive == 5s);
  }
}

TEST_CASE("names of slaves and of features have their own letters") {
  for (const BytesView name : {"a", "Z", "0", "w.1_x-y", "127.0.0.1"}) CHECK(is_slave_name(name));
  CHECK(is_slave_name(Bytes(64, 'x')));
  for (const BytesView name : {"", ".a", "_a", "-a", "a b", "a:b", "a/"}) CHECK_FALSE(is_slave_name(name));
  for (const BytesView name : {"a", "0", "-", "zstd-1"}) CHECK(is_feature_name(name));
  CHECK(is_feature_name(Bytes(32, 'x')));
  for (const BytesView name : {"", "A", "a_b", "a.b", "a b"}) CHECK_FALSE(is_feature_name(name));
}
