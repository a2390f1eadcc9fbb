// Tests of deliver_challenge() and answer_challenge(), on every transport.
#include "auth/derive.hpp"
#include "auth/master_handshake.hpp"
#include "auth/slave_handshake.hpp"
#include "support/forwarding_transport.hpp"
#include "support/has.hpp"
#include "support/transport_calls.hpp"
#include "unit/transport/transports.hpp"

#include <doctest/doctest.h>

#include <remsh/auth/challenge.hpp>
#include <remsh/base/error.hpp>
#include <remsh/connection/connection.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::for_each_transport;
using remsh::test::ForwardingTransport;
using remsh::test::has;
using remsh::test::put;

namespace {

using TransportPointer = std::unique_ptr<Transport>;

const Secret backup_key = *Secret::from_bytes(Bytes(32, 's'));
const Secret wrong_backup_key = *Secret::from_bytes(Bytes(32, 'o'));

/// How a side ended: what it threw, in words; empty where it threw nothing.
struct SideEnd {
  std::optional<Errc> code = {};
  std::string text = {};
  std::chrono::steady_clock::duration after = {};
};

SideEnd end_of(const std::function<void()>& side) {
  const auto begin = std::chrono::steady_clock::now();
  SideEnd end;
  try {
    side();
  } catch (const Error& error) {
    end.code = error.code();
    end.text = error.what();
  }
  end.after = std::chrono::steady_clock::now() - begin;
  return end;
}

bool is_closed(Connection& connection) {
  try {
    return !connection.read_box(30s).has_value();
  } catch (const Error& error) {
    return error.code() != Errc::timeout;
  }
}

/// Both sides at once.
std::pair<SideEnd, SideEnd> run_both(Connection& delivers, Connection& answers, const std::string& name = "backup",
                                     const Secret& its_key = backup_key) {
  auto other =
      std::async(std::launch::async, [&] { return end_of([&] { answer_challenge(answers, name, its_key, 30s); }); });
  const SideEnd end = end_of([&] { deliver_challenge(delivers, "backup", backup_key, 30s); });
  return {end, other.get()};
}

/// Reads on until it is right.
template <class Handshake>
typename Handshake::Step take(Transport& transport, Handshake& handshake) {
  typename Handshake::Step step;
  while (step.action == Handshake::Step::Action::read) {
    std::array<char, 4096> buffer;
    const IoResult result = transport.read_some(buffer, 10s);
    if (result.status == IoResult::Status::would_block) continue;
    REQUIRE(result.status == IoResult::Status::ok);
    step = handshake.feed({buffer.data(), result.bytes});
  }
  return step;
}

/// A transport that ends TLS, as far as the proofs can see.
class Bound final : public ForwardingTransport {
 public:
  Bound(TransportPointer inner, std::string binding)
      : ForwardingTransport(std::move(inner)), binding_(std::move(binding)) {}
  [[nodiscard]] std::string channel_binding() const override { return binding_; }

 private:
  std::string binding_;
};

}  // namespace

TEST_CASE("two sides with the same secret find each other, and go on with boxes of their own") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection delivers(std::move(a));
    Connection answers(std::move(b));
    auto other = std::async(std::launch::async, [&] {
      answer_challenge(answers, "backup", backup_key, 30s);
      answers.send_box({{"from", "the one who answers"}});
      return answers.read_box(30s);
    });
    deliver_challenge(delivers, "backup", backup_key, 30s);
    delivers.send_box({{"from", "the one who delivers"}});
    CHECK(delivers.read_box(30s) == Box{{"from", "the one who answers"}});
    CHECK(other.get() == Box{{"from", "the one who delivers"}});
  });
}

TEST_CASE("nothing that is sent right behind the proof is lost") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection answers(std::move(b));
    auto other = std::async(std::launch::async, [&] {
      answer_challenge(answers, "backup", backup_key, 30s);
      CHECK(answers.read_box(30s) == Box{{"n", "1"}});
      return answers.read_box(30s);
    });
    const auto find = [](BytesView, BytesView) -> auth::KeyAnswer { return {.key = backup_key}; };
    auth::MasterKeys keys{.decoy = wrong_backup_key, .find = find};
    auth::MasterHandshake handshake({.nonce = Bytes(32, 'n'),
                                     .keys = std::make_shared<auth::MasterKeys>(std::move(keys)),
                                     .binding = a->channel_binding()});
    put(*a, take(*a, handshake).bytes);
    REQUIRE(take(*a, handshake).action == auth::MasterHandshake::Step::Action::registered);
    // In one piece, up to the middle of a box.
    const Bytes second = encode(Box{{"n", "2"}});
    put(*a, handshake.open(1s) + encode(Box{{"n", "1"}}) + second.substr(0, 3));
    put(*a, second.substr(3));
    CHECK(other.get() == Box{{"n", "2"}});
  });
}

TEST_CASE("with another secret both sides are told, each in its own words, and no sooner than guessing is slow") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection delivers(std::move(a));
    Connection answers(std::move(b));
    const auto [one, two] = run_both(delivers, answers, "backup", wrong_backup_key);
    CHECK(one.code == Errc::auth_failed);
    CHECK(has(one.text, "deliver a challenge: 'backup' with the key"));
    CHECK(has(one.text, "the key should be '" + auth::kid(backup_key) + "'"));
    CHECK(two.code == Errc::auth_failed);
    CHECK(has(two.text, "answer a challenge: the master refused the key " + auth::kid(wrong_backup_key)));
    CHECK(two.after >= auth::failure_delay);
    CHECK(is_closed(delivers));
    CHECK(is_closed(answers));
  });
}

TEST_CASE("with another name both sides are told") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection delivers(std::move(a));
    Connection answers(std::move(b));
    const auto [one, two] = run_both(delivers, answers, "restore");
    CHECK(one.code == Errc::auth_failed);
    CHECK(has(one.text, "'restore' with the key"));
    CHECK(has(one.text, "the name should be 'backup'"));
    CHECK(two.code == Errc::auth_failed);
    CHECK(has(two.text, "of restore: its log says why"));
  });
}

TEST_CASE("both sides are bound to the same channel") {
  const Bytes binding(32, 'x');
  const auto ends = [](const Bytes& one_binding, const Bytes& other_binding) {
    auto [a, b] = test::make_memory();
    Connection delivers(std::make_unique<Bound>(std::move(a), one_binding));
    Connection answers(std::make_unique<Bound>(std::move(b), other_binding));
    return run_both(delivers, answers);
  };
  CHECK_FALSE(ends(binding, binding).first.code.has_value());
  for (const auto& [one_binding, other_binding] : {std::pair(binding, Bytes(32, 'y')), {binding, {}}, {{}, binding}}) {
    const auto [one, two] = ends(one_binding, other_binding);
    CHECK(one.code == Errc::auth_failed);
    CHECK(has(one.text, "its proof is wrong"));
    CHECK(two.code == Errc::auth_failed);
  }
}

TEST_CASE("who has no secret is no master, whatever it says") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection answers(std::move(b));
    auto other = std::async(std::launch::async,
                            [&] { return end_of([&] { answer_challenge(answers, "backup", backup_key, 30s); }); });
    Connection thief(std::move(a));
    REQUIRE(thief.read_box(30s).has_value());
    thief.send_box({{"_answer", "1"}, {"features", ""}, {"nonce", Bytes(32, 'n')}, {"version", "2"}});
    const auto prove = thief.read_box(30s);
    REQUIRE(prove.has_value());
    thief.send_box({{"_answer", "2"}, {"keepalive", "1000"}, {"mac", *prove->get("mac")}});
    const SideEnd end = other.get();
    CHECK(end.code == Errc::auth_failed);
    CHECK(has(end.text, "not our master"));
    CHECK(is_closed(answers));
  });
}

TEST_CASE("a slave without a key, and one that speaks something else, are refused") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection delivers(std::move(a));
    auth::SlaveHandshake keyless({.registration = {.name = "backup"}, .nonce = Bytes(32, 'n')});
    put(*b, keyless.start());
    const SideEnd end = end_of([&] { deliver_challenge(delivers, "backup", backup_key, 30s); });
    CHECK(end.code == Errc::auth_failed);
    CHECK(has(end.text, "has no key"));
  });
  auth::SlaveHandshake right(
      {.registration = {.name = "backup"}, .nonce = Bytes(auth::nonce_size, 'n'), .key = backup_key});
  const Bytes hello = right.start();
  Bytes descending;
  BoxWriter(descending).field("_command", "hello").field("_ask", "1").end();
  const auto cut = [](BytesView box) { return Bytes(box.substr(0, box.size() - 2)); };
  for (const Bytes& bytes : {
           Bytes("GET / HTTP/1.1\r\n\r\n"), encode(Box{{"hello", "world"}}),
           encode(Box{{"_ask", "1"}, {"_command", "hello"}, {"zz", Bytes(1024, 'z')}}),
           cut(encode(Box{{"_ask", "1"}, {"_command", "hello"}, {"zz", Bytes(1024, 'z')}})), descending + cut(hello),
           hello + "x",  // it has to be answered first
       }) {
    CAPTURE(bytes);
    auto [a, b] = test::make_memory();
    Connection delivers(std::move(a));
    put(*b, bytes);
    CHECK(end_of([&] { deliver_challenge(delivers, "backup", backup_key, 30s); }).code == Errc::protocol_error);
    CHECK(is_closed(delivers));
  }
}

TEST_CASE("what was read before the proof is the beginning of it") {
  auto [a, b] = test::make_memory();
  Connection delivers(std::move(a));
  auth::SlaveHandshake handshake(
      {.registration = {.name = "backup"}, .nonce = Bytes(auth::nonce_size, 'n'), .key = backup_key});
  const Bytes first = encode(Box{{"n", "1"}});
  put(*b, first + handshake.start());
  CHECK(delivers.read_box(30s) == Box{{"n", "1"}});
  auto other = std::async(std::launch::async, [&] { deliver_challenge(delivers, "backup", backup_key, 30s); });
  put(*b, take(*b, handshake).bytes);
  CHECK(take(*b, handshake).action == auth::SlaveHandshake::Step::Action::open);
  other.get();
}

TEST_CASE("a silent peer holds nobody up, and there is no second try") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection delivers(std::move(a));
    Connection answers(std::move(b));
    CHECK(end_of([&] { deliver_challenge(delivers, "backup", backup_key, no_wait); }).code == Errc::timeout);
    CHECK(end_of([&] { answer_challenge(answers, "backup", backup_key, 30s); }).code == Errc::connection_lost);
    CHECK(end_of([&] { deliver_challenge(delivers, "backup", backup_key, 30s); }).code == Errc::connection_lost);
  });
}

TEST_CASE("a peer that leaves is lost, and the state is told") {
  for_each_transport([](TransportPointer a, TransportPointer b) {
    Connection delivers(std::move(a));
    b->shutdown();
    const SideEnd end = end_of([&] { deliver_challenge(delivers, "backup", backup_key, 30s); });
    CHECK(end.code == Errc::connection_lost);
    CHECK(has(end.text, "deliver a challenge: the connection to the slave ended (while hello was awaited)"));
  });
}

TEST_CASE("what cannot be proven is said before anything is sent") {
  auto [a, b] = test::make_memory();
  Connection one(std::make_unique<Bound>(std::move(a), "short"));
  CHECK(end_of([&] { deliver_challenge(one, "backup", backup_key, no_wait); }).code == Errc::invalid_argument);
  CHECK(end_of([&] { answer_challenge(one, "backup", backup_key, no_wait); }).code == Errc::invalid_argument);
  auto [c, d] = test::make_memory();
  Connection two(std::move(c));
  for (const std::string& name : {std::string(), std::string(".."), std::string("a b"), std::string(65, 'n')}) {
    CHECK(end_of([&] { deliver_challenge(two, name, backup_key, no_wait); }).code == Errc::invalid_argument);
    CHECK(end_of([&] { answer_challenge(two, name, backup_key, no_wait); }).code == Errc::invalid_argument);
  }
  std::array<char, 1> buffer{};
  CHECK(d->read_some(buffer, Duration::zero()).status == IoResult::Status::would_block);
  CHECK(b->read_some(buffer, Duration::zero()).status == IoResult::Status::would_block);
}
