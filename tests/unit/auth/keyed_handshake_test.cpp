// The handshake with keys, as honest peers and others use it: docs/protocol.md section 4.
#include "auth/derive.hpp"
#include "auth/master_handshake.hpp"
#include "auth/slave_handshake.hpp"
#include "golden/handshake.hpp"
#include "support/changed_box.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"
#include "support/keys.hpp"

#include <doctest/doctest.h>

#include <remsh/connection/box_codec.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::auth;
using remsh::test::box_of;
using remsh::test::counted;
using remsh::test::counted_key;
using remsh::test::from_hex;
using remsh::test::has;
using remsh::test::to_hex;
using remsh::test::with;
using remsh::test::handshake_golden::sessions;

namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;
using GoldenSession = remsh::test::handshake_golden::Session;
using MasterAction = MasterHandshake::Step::Action;
using SlaveAction = SlaveHandshake::Step::Action;

// Those of the golden sessions.
const Secret worker_key = counted_key(0x00);
const Secret other_key = counted_key(0x40);
const Secret golden_invitation = counted_key(0x80);
const Bytes golden_slave_nonce = counted(0xa0);
const Bytes golden_master_nonce = counted(0xc0);
const Bytes exporter = counted(0xe0);
const Registration golden_worker{.name = "worker1",
                                 .hostname = "w1.example",
                                 .system = "linux",
                                 .software = "remsh-slave 0.1.0",
                                 .basedir = "/srv/w1"};
const Secret decoy = counted_key(0x33);

/// A master that knows worker1 by its key and its invitation, and worker2 by its key.
std::shared_ptr<const MasterKeys> keys() {
  const auto find = [](BytesView name, BytesView id) -> KeyAnswer {
    if (name != "worker1" && name != "worker2") return {.reason = "unknown name"};
    const Secret& own = name == "worker1" ? worker_key : other_key;
    if (id == kid(own)) return {.key = own, .labels = {{"rack", "b7"}}};
    if (name == "worker1" && id == kid(golden_invitation)) return {.key = golden_invitation, .is_invitation = true};
    return {.reason = "unknown kid (it has: " + kid(own) + ")"};
  };
  return std::make_shared<MasterKeys>(MasterKeys{.decoy = decoy, .find = find});
}

MasterHandshake::Options master_options(const Bytes& binding = {}) {
  return {.nonce = golden_master_nonce, .keys = keys(), .binding = binding, .enrolment_allowed = !binding.empty()};
}

SlaveHandshake::Options slave_options(const Bytes& binding = {}) {
  return {.registration = golden_worker, .nonce = golden_slave_nonce, .key = worker_key, .binding = binding};
}

/// Both sides of a golden session.
MasterHandshake::Options master_of(const GoldenSession& session) { return master_options(from_hex(session.binding)); }
SlaveHandshake::Options slave_of(const GoldenSession& session) {
  SlaveHandshake::Options options = slave_options(from_hex(session.binding));
  options.key = *Secret::from_bytes(from_hex(session.key));
  options.enrols = session.new_key != ""s;
  if (options.enrols) options.registration = {.name = "worker1"};
  return options;
}
Bytes answer_of(const GoldenSession& session, MasterHandshake& master) {
  if (session.title == "refused"s) return master.refuse(Refusal::name_in_use, "worker1 is connected from 192.0.2.7");
  return master.is_enrolment() ? master.enrol().welcome : master.open(10s);
}

enum class BoxName : std::uint8_t { hello, challenge, prove, welcome };
using Tamper = std::function<Bytes(BoxName, Bytes)>;

/// What became of a handshake whose boxes somebody between may change.
struct HandshakeOutcome {
  std::map<BoxName, Bytes> boxes = {};  ///< as they came
  MasterHandshake::Step master = {};    ///< the last
  SlaveHandshake::Step slave = {};
  bool registered = false;
};

HandshakeOutcome run(
    MasterHandshake& master, SlaveHandshake& slave, const Tamper& tamper = {},
    const std::function<Bytes(MasterHandshake&)>& answer = [](MasterHandshake& m) { return m.open(10s); }) {
  HandshakeOutcome outcome;
  const auto pass = [&](BoxName name, Bytes bytes) -> const Bytes& {
    return outcome.boxes[name] = tamper ? tamper(name, std::move(bytes)) : std::move(bytes);
  };
  outcome.master = master.feed(pass(BoxName::hello, slave.start()));
  if (outcome.master.action != MasterAction::send) return outcome;
  outcome.slave = slave.feed(pass(BoxName::challenge, outcome.master.bytes));
  if (outcome.slave.action != SlaveAction::send) return outcome;
  outcome.master = master.feed(pass(BoxName::prove, outcome.slave.bytes));
  outcome.registered = outcome.master.action == MasterAction::registered;
  if (!outcome.registered) return outcome;
  outcome.slave = slave.feed(pass(BoxName::welcome, answer(master)));
  return outcome;
}

HandshakeOutcome run(MasterHandshake::Options master_side, SlaveHandshake::Options slave_side,
                     const Tamper& tamper = {}) {
  MasterHandshake master(std::move(master_side));
  SlaveHandshake slave(std::move(slave_side));
  return run(master, slave, tamper);
}

/// Changes a value of one box on its way.
Tamper changing(BoxName which, const Bytes& key, const std::optional<Bytes>& value) {
  return [=](BoxName name, Bytes bytes) { return name == which ? with(bytes, key, value) : bytes; };
}

const Bytes refused_prove = from_hex(
    "0006 5f6572726f72 0001 32  000b 5f6572726f725f636f6465 0004 41555448"
    "0012 5f6572726f725f6465736372697074696f6e 0015 61757468656e7469636174696f6e206661696c6564  0000");

/// The master must give the failure, and its log a reason.
void check_failure(const HandshakeOutcome& outcome, const char* reason) {
  CAPTURE(outcome.master.failure.message);
  CHECK(outcome.master.action == MasterAction::fail);
  CHECK(outcome.master.failure.code == Errc::auth_failed);
  CHECK(to_hex(outcome.master.bytes) == to_hex(refused_prove));
  CHECK(has(outcome.master.failure.message, reason));
  CHECK_FALSE(outcome.registered);
}

void check_refusal_by_slave(const HandshakeOutcome& outcome, Errc code, const char* reason) {
  CAPTURE(outcome.slave.failure.message);
  CHECK(outcome.registered);
  CHECK(outcome.slave.action == SlaveAction::failed);
  CHECK(outcome.slave.failure.code == code);
  CHECK(has(outcome.slave.failure.message, reason));
}

}  // namespace

TEST_CASE("the golden sessions come out of both sides, byte for byte") {
  for (const GoldenSession& session : sessions) {
    CAPTURE(session.title);
    MasterHandshake master(master_of(session));
    SlaveHandshake slave(slave_of(session));
    const HandshakeOutcome outcome = run(master, slave, {}, [&](MasterHandshake& m) { return answer_of(session, m); });
    CHECK(to_hex(outcome.boxes.at(BoxName::hello)) == session.hello);
    CHECK(to_hex(outcome.boxes.at(BoxName::challenge)) == session.challenge);
    CHECK(to_hex(outcome.boxes.at(BoxName::prove)) == session.prove);
    CHECK(to_hex(outcome.boxes.at(BoxName::welcome)) == session.welcome);
    CHECK(outcome.slave.action == (session.title == "refused"s    ? SlaveAction::refused
                                   : session.title == "enrolled"s ? SlaveAction::enrolled
                                                                  : SlaveAction::open));
    CHECK(outcome.slave.new_key.has_value() == (session.new_key != ""s));
    if (outcome.slave.new_key) CHECK(to_hex(outcome.slave.new_key->bytes()) == session.new_key);
  }
}

TEST_CASE("the master registers what was proven") {
  MasterHandshake master(master_options());
  SlaveHandshake slave(slave_options());
  const HandshakeOutcome outcome = run(master, slave);
  CHECK(outcome.slave.action == SlaveAction::open);
  CHECK(outcome.slave.keepalive == 10s);
  Registration expected = golden_worker;
  expected.key_id = "4962dc04";
  CHECK((master.registration() == expected));
  CHECK(master.labels() == std::map<std::string, std::string>{{"rack", "b7"}});
  CHECK_FALSE(master.is_enrolment());
}

TEST_CASE("no bit of any box may change") {
  for (const GoldenSession& session : sessions) {
    CAPTURE(session.title);
    for (const BoxName which : {BoxName::hello, BoxName::challenge, BoxName::prove, BoxName::welcome}) {
      const std::array recorded{session.hello, session.challenge, session.prove, session.welcome};
      const std::size_t size = from_hex(recorded[static_cast<std::size_t>(which)]).size();
      for (std::size_t bit = 0; bit < size * 8; ++bit) {
        const auto flip = [&](BoxName name, Bytes bytes) {
          char& byte = bytes[bit / 8];
          if (name == which) byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << (bit % 8)));
          return bytes;
        };
        MasterHandshake master(master_of(session));
        SlaveHandshake slave(slave_of(session));
        const HandshakeOutcome outcome =
            run(master, slave, flip, [&](MasterHandshake& m) { return answer_of(session, m); });
        CAPTURE(static_cast<int>(which));
        CAPTURE(bit);
        // Either side reads on where a length became longer.
        const auto seen = outcome.slave.action;
        REQUIRE((seen == SlaveAction::read || seen == SlaveAction::send || seen == SlaveAction::failed));
        // A tag that was changed is told by the slave alone: the answer does not fit its call.
        const bool is_tag = which == BoxName::prove && bit / 8 == 8;
        REQUIRE(outcome.registered == (is_tag || which == BoxName::welcome));
      }
    }
  }
}

TEST_CASE("what was recorded proves nothing in another handshake") {
  const GoldenSession& session = sessions[0];
  MasterHandshake::Options options = master_of(session);
  options.nonce = counted(0x11);
  MasterHandshake master(std::move(options));
  REQUIRE(master.feed(from_hex(session.hello)).action == MasterAction::send);
  const auto step = master.feed(from_hex(session.prove));
  CHECK(step.action == MasterAction::fail);
  CHECK(to_hex(step.bytes) == to_hex(refused_prove));
  CHECK(has(step.failure.message, "its proof is wrong"));

  SlaveHandshake::Options slave_side = slave_of(session);
  slave_side.nonce = counted(0x11);
  SlaveHandshake slave(std::move(slave_side));
  slave.start();
  REQUIRE(slave.feed(from_hex(session.challenge)).action == SlaveAction::send);
  const auto welcome = slave.feed(from_hex(session.welcome));
  CHECK(welcome.action == SlaveAction::failed);
  CHECK(welcome.failure.message == "not our master, or something between ends TLS");
}

TEST_CASE("no proof can be sent back to who made it, nor to the other role") {
  const Bytes slave_mac(*box_of(from_hex(sessions[0].prove)).get("mac"));
  const Bytes master_mac(*box_of(from_hex(sessions[0].welcome)).get("mac"));
  check_refusal_by_slave(run(master_options(), slave_options(), changing(BoxName::welcome, "mac", slave_mac)),
                         Errc::auth_failed, "not our master");
  check_failure(run(master_options(), slave_options(), changing(BoxName::prove, "mac", master_mac)), "proof is wrong");

  // Somebody without a key who answers a slave with its own hello.
  SlaveHandshake slave(slave_options());
  const Box hello = box_of(slave.start());
  const auto step =
      slave.feed(encode(Box{{"_answer", "1"}, {"features", ""}, {"nonce", *hello.get("nonce")}, {"version", "2"}}));
  CHECK(step.action == SlaveAction::failed);
  CHECK(has(step.failure.message, "our own nonce"));
}

TEST_CASE("a slave cannot be another one") {
  SlaveHandshake::Options thief = slave_options();
  thief.key = other_key;  // that of worker2
  check_failure(run(master_options(), thief), "unknown kid (it has: 4962dc04)");
  check_failure(run(master_options(), thief, changing(BoxName::hello, "kid", kid(worker_key))), "proof is wrong");
  check_failure(run(master_options(), thief, changing(BoxName::hello, "name", "worker2")), "proof is wrong");
  thief.registration.name = "worker2";
  CHECK(run(master_options(), thief).slave.action == SlaveAction::open);
}

TEST_CASE("whoever ends TLS between the two is found out") {
  const Bytes elsewhere = counted(0x55);
  check_failure(run(master_options(elsewhere), slave_options(exporter)), "something between changes bytes or ends TLS");
  check_failure(run(master_options(), slave_options(exporter)), "ends TLS");
  check_failure(run(master_options(exporter), slave_options()), "ends TLS");
  CHECK(run(master_options(exporter), slave_options(exporter)).slave.action == SlaveAction::open);
  CHECK(run(master_options(), slave_options(Bytes(binding_size, '\0'))).slave.action == SlaveAction::open);
}

TEST_CASE("nobody between the two can take away what they could agree on") {
  MasterHandshake::Options master_side = master_options();
  master_side.features = {"bulk", "zstd"};
  SlaveHandshake::Options slave_side = slave_options();
  slave_side.registration.features = {"bulk", "zstd"};
  REQUIRE(run(master_side, slave_side).slave.action == SlaveAction::open);
  const char* const wrong = "proof is wrong";
  check_failure(run(master_side, slave_side, changing(BoxName::hello, "features", "bulk")), wrong);
  check_failure(run(master_side, slave_side, changing(BoxName::hello, "versions", "2 3")), wrong);
  check_failure(run(master_side, slave_side, changing(BoxName::hello, "more", "")), wrong);
  check_failure(run(master_side, slave_side, changing(BoxName::challenge, "features", "bulk")), wrong);
  check_failure(run(master_side, slave_side, changing(BoxName::challenge, "more", "")), wrong);
  check_failure(run(master_side, slave_side, changing(BoxName::prove, "basedir", "/")), wrong);
  check_failure(run(master_side, slave_side, changing(BoxName::prove, "more", "")), wrong);
  for (const auto& [key, value] : {std::pair("keepalive"s, "1"s), {"more", ""}}) {
    check_refusal_by_slave(run(master_side, slave_side, changing(BoxName::welcome, key, value)), Errc::auth_failed,
                           "not our master");
  }
}

TEST_CASE("keys that are not listed are under the proofs, and ignored") {
  // The golden arithmetic, with a key of a feature that we do not know.
  SlaveHandshake slave(slave_options());
  MasterHandshake master(master_options());
  const Bytes challenge = master.feed(slave.start()).bytes;
  const Box prove = box_of(slave.feed(challenge).bytes);
  const auto body = [](Box box) {
    for (const char* key : {"_ask", "_answer", "_command", "mac"}) box.erase(key);
    return box.empty() ? "\0\0"s : encode(box);
  };
  Box longer = prove;
  longer.set("zeal", "\xff");
  Sha256 transcript;
  transcript.update(Bytes(binding_size, '\0') + body(box_of(from_hex(sessions[0].hello))) + body(box_of(challenge)) +
                    body(longer));
  longer.set("mac", Bytes(hmac(derive(worker_key, "slave").bytes(), transcript.digest()).bytes()));
  CHECK(master.feed(encode(longer)).action == MasterAction::registered);

  Box welcome{{"_answer", "2"}, {"keepalive", "1000"}, {"zeal", ""}};
  // The slave has sent no zeal itself, so this is what it knows.
  Sha256 of_the_slave;
  of_the_slave.update(Bytes(binding_size, '\0') + body(box_of(from_hex(sessions[0].hello))) + body(box_of(challenge)) +
                      body(prove) + body(welcome));
  welcome.set("mac", Bytes(hmac(derive(worker_key, "master").bytes(), of_the_slave.digest()).bytes()));
  CHECK(slave.feed(encode(welcome)).action == SlaveAction::open);
}

TEST_CASE("whatever is wrong, the same work is done and the same bytes are sent") {
  struct Wrong {
    const char* title;
    MasterHandshake::Options master;
    SlaveHandshake::Options slave;
    const char* reason;
  };
  SlaveHandshake::Options stranger = slave_options(exporter);
  stranger.registration.name = "stranger";
  SlaveHandshake::Options other = slave_options(exporter);
  other.key = other_key;
  SlaveHandshake::Options enrols = slave_options(exporter);
  enrols.enrols = true;
  SlaveHandshake::Options invited = slave_options(exporter);
  invited.key = golden_invitation;
  SlaveHandshake::Options invited_without_tls = slave_options();
  invited_without_tls.key = golden_invitation;
  invited_without_tls.enrols = true;
  MasterHandshake::Options of_other_name = master_options(exporter);
  of_other_name.psk_identity = "worker2:" + kid(other_key);
  MasterHandshake::Options of_other_kid = master_options(exporter);
  of_other_kid.psk_identity = "worker1:" + kid(golden_invitation);

  const std::vector<Wrong> all{
      {"unknown name", master_options(exporter), stranger, "'stranger' with the key '4962dc04': unknown name"},
      {"unknown kid", master_options(exporter), other, "unknown kid (it has: 4962dc04)"},
      {"relayed", master_options(counted(1)), slave_options(exporter), "its proof is wrong"},
      {"a key used as an invitation", master_options(exporter), enrols, "with what is no invitation"},
      {"an invitation used as a key", master_options(exporter), invited, "an invitation as a key"},
      {"an invitation without TLS", master_options(), invited_without_tls, "there is no TLS"},
      {"TLS identity of another name", of_other_name, slave_options(exporter), "TLS has proven 'worker2:"},
      {"TLS identity of another key", of_other_kid, slave_options(exporter), "TLS has proven 'worker1:"}};
  for (const Wrong& wrong : all) {
    CAPTURE(wrong.title);
    const HandshakeOutcome outcome = run(wrong.master, wrong.slave);
    check_failure(outcome, wrong.reason);
    CHECK(to_hex(outcome.boxes.at(BoxName::challenge)) == sessions[0].challenge);  // nor is the first answer another
  }
}

TEST_CASE("who knows the decoy gets in as nobody") {
  SlaveHandshake::Options options = slave_options();
  options.key = decoy;
  check_failure(run(master_options(), options), "unknown kid");
  options.registration.name = "stranger";
  check_failure(run(master_options(), options), "unknown name");
  check_failure(run(master_options(), options, changing(BoxName::hello, "kid", "00000000")), "unknown name");
}

TEST_CASE("a slave without a key gets in beside those with keys, by a name of its own") {
  SlaveHandshake::Options options = slave_options();
  options.key = {};
  options.registration.name = "local1";
  MasterHandshake master(master_options());
  SlaveHandshake slave(options);
  const HandshakeOutcome outcome = run(master, slave);
  CHECK(outcome.slave.action == SlaveAction::open);
  CHECK(master.registration().key_id.empty());
  CHECK_FALSE(box_of(outcome.boxes.at(BoxName::welcome)).has("mac"));

  MasterHandshake::Options strict = master_options();
  strict.keyless_allowed = false;
  CHECK(run(strict, options).master.action == MasterAction::fail);
  CHECK(run(strict, slave_options()).slave.action == SlaveAction::open);
}

TEST_CASE("resuming is not chosen for who has no key") {
  MasterHandshake::Options master_side = master_options();
  master_side.features = {"bulk", "resume"};
  SlaveHandshake::Options slave_side = slave_options();
  slave_side.registration.features = {"bulk", "resume"};
  const auto chosen = [&] {
    return Bytes(*box_of(run(master_side, slave_side).boxes.at(BoxName::challenge)).get("features"));
  };
  CHECK(chosen() == "bulk resume");
  slave_side.key = {};
  CHECK(chosen() == "bulk");
}

TEST_CASE("a slave with a key takes no welcome without proof") {
  for (const bool refused : {false, true}) {
    CAPTURE(refused);
    const auto answer = [&](MasterHandshake& m) { return refused ? m.refuse(Refusal::full, "") : m.open(1s); };
    const auto outcome_of = [&](const std::optional<Bytes>& mac) {
      MasterHandshake master(master_options());
      SlaveHandshake slave(slave_options());
      return run(master, slave, changing(BoxName::welcome, "mac", mac), answer);
    };
    check_refusal_by_slave(outcome_of({}), Errc::auth_failed, "the master proves nothing");
    check_refusal_by_slave(outcome_of(Bytes(32, '\0')), Errc::auth_failed, "not our master");
    for (const std::size_t size : {0U, 1U, 16U, 31U, 33U, 64U}) {
      check_refusal_by_slave(outcome_of(Bytes(size, 'm')), Errc::protocol_error, "malformed 'mac'");
    }
  }
}

TEST_CASE("a proof that has not the size of one closes, as does one that is missing") {
  const auto check = [](const HandshakeOutcome& outcome, const char* reason) {
    CAPTURE(outcome.master.failure.message);
    CHECK(outcome.master.action == MasterAction::close);
    CHECK(outcome.master.bytes.empty());
    CHECK(outcome.master.failure.code == Errc::protocol_error);
    CHECK(has(outcome.master.failure.message, reason));
  };
  const Bytes mac(*box_of(from_hex(sessions[0].prove)).get("mac"));
  for (const Bytes& wrong : {""s, mac.substr(0, 1), mac.substr(0, 31), mac + '\0', mac + mac}) {
    check(run(master_options(), slave_options(), changing(BoxName::prove, "mac", wrong)), "malformed 'mac'");
  }
  check(run(master_options(), slave_options(), changing(BoxName::prove, "mac", {})), "without 'mac'");
  check(run(master_options(), slave_options(), changing(BoxName::prove, "enrol", "")), "malformed 'enrol'");
  check(run(master_options(), slave_options(), changing(BoxName::prove, "enrol", "yes")), "malformed 'enrol'");

  SlaveHandshake::Options keyless = slave_options();
  keyless.key = {};
  keyless.registration.name = "local1";
  check(run(master_options(), keyless, changing(BoxName::prove, "mac", mac)), "'mac' without the id of a key");
  check(run(master_options(), keyless, changing(BoxName::prove, "enrol", "1")), "'enrol' without the id of a key");
}

TEST_CASE("keys of resuming are an error where it is not in force") {
  for (const char* key : {"attempt", "received", "resume_mac", "session"}) {
    CAPTURE(key);
    const HandshakeOutcome asked = run(master_options(), slave_options(), changing(BoxName::prove, key, "1"));
    CHECK(asked.master.action == MasterAction::close);
    CHECK(has(asked.master.failure.message, "the feature 'resume' is not in force"));
    SlaveHandshake::Options keyless = slave_options();
    keyless.key = {};
    keyless.registration.name = "local1";
    const HandshakeOutcome answered = run(master_options(), keyless, changing(BoxName::welcome, key, "1"));
    check_refusal_by_slave(answered, Errc::protocol_error, "the feature 'resume' is not in force");
  }
}

TEST_CASE("an invitation gives both sides the same new key") {
  SlaveHandshake::Options options = slave_options(exporter);
  options.key = golden_invitation;
  options.enrols = true;
  MasterHandshake master(master_options(exporter));
  SlaveHandshake slave(options);
  std::optional<Secret> stored;
  const HandshakeOutcome outcome = run(master, slave, {}, [&](MasterHandshake& m) {
    CHECK(m.is_enrolment());
    CHECK(m.registration().name == "worker1");
    CHECK(m.registration().key_id == kid(golden_invitation));
    const auto enrolment = m.enrol();
    stored = enrolment.key;
    return enrolment.welcome;
  });
  REQUIRE(outcome.slave.action == SlaveAction::enrolled);
  REQUIRE(outcome.slave.new_key.has_value());
  CHECK((stored == outcome.slave.new_key));
  CHECK((stored != golden_invitation));
  CHECK(outcome.slave.bytes.empty());
}

TEST_CASE("a new key is another one on another connection") {
  const auto key_of = [](const Bytes& binding, const Bytes& nonce) {
    SlaveHandshake::Options options = slave_options(binding);
    options.key = golden_invitation;
    options.enrols = true;
    options.nonce = nonce;
    MasterHandshake master(master_options(binding));
    SlaveHandshake slave(options);
    return run(master, slave, {}, [](MasterHandshake& m) { return m.enrol().welcome; }).slave.new_key;
  };
  const auto one = key_of(exporter, golden_slave_nonce);
  REQUIRE(one.has_value());
  CHECK((one == key_of(exporter, golden_slave_nonce)));
  CHECK((one != key_of(counted(0x55), golden_slave_nonce)));
  CHECK((one != key_of(exporter, counted(0x55))));
}

TEST_CASE("where a new key cannot be stored the slave is refused, and can use its invitation again") {
  SlaveHandshake::Options options = slave_options(exporter);
  options.key = golden_invitation;
  options.enrols = true;
  MasterHandshake master(master_options(exporter));
  SlaveHandshake slave(options);
  const HandshakeOutcome outcome = run(master, slave, {}, [](MasterHandshake& m) {
    static_cast<void>(m.enrol());
    return m.refuse(Refusal::rejected, "the disk is full");
  });
  CHECK(outcome.slave.action == SlaveAction::refused);
  CHECK_FALSE(outcome.slave.new_key.has_value());
}

TEST_CASE("a slave that enrols takes neither an open welcome nor more bytes") {
  SlaveHandshake::Options options = slave_options(exporter);
  options.key = golden_invitation;
  options.enrols = true;
  for (const Bytes& more : {"x"s, from_hex(sessions[0].welcome)}) {
    MasterHandshake master(master_options(exporter));
    SlaveHandshake slave(options);
    const HandshakeOutcome outcome =
        run(master, slave, {}, [&](MasterHandshake& m) { return m.enrol().welcome + more; });
    check_refusal_by_slave(outcome, Errc::protocol_error, "behind the welcome of an enrolment");
    CHECK_FALSE(outcome.slave.new_key.has_value());
  }
  // Under a proof that is right, as of a master that does not know what it does.
  const GoldenSession& session = sessions[3];
  SlaveHandshake slave(slave_of(session));
  slave.start();
  REQUIRE(slave.feed(from_hex(session.challenge)).action == SlaveAction::send);
  const auto body = [](Box box) {
    for (const char* key : {"_ask", "_answer", "_command", "mac"}) box.erase(key);
    return encode(box);
  };
  Box welcome{{"_answer", "2"}, {"keepalive", "1000"}};
  Sha256 transcript;
  transcript.update(exporter);
  for (const char* box : {session.hello, session.challenge, session.prove}) {
    transcript.update(body(box_of(from_hex(box))));
  }
  transcript.update(body(welcome));
  welcome.set("mac", Bytes(hmac(derive(golden_invitation, "master").bytes(), transcript.digest()).bytes()));
  const auto step = slave.feed(encode(welcome));
  CHECK(step.action == SlaveAction::failed);
  CHECK(has(step.failure.message, "opened where we asked to enrol"));
}

TEST_CASE("a slave checks the proof before it looks at what follows") {
  const Bytes call = encode(Box{{"_ask", "1"}, {"_command", "getenv"}});
  const auto feed = [&](const Bytes& welcome) {
    SlaveHandshake slave(slave_of(sessions[1]));
    slave.start();
    REQUIRE(slave.feed(from_hex(sessions[1].challenge)).action == SlaveAction::send);
    return slave.feed(welcome + call);
  };
  const auto good = feed(from_hex(sessions[1].welcome));
  CHECK(good.action == SlaveAction::open);
  CHECK(to_hex(good.bytes) == to_hex(call));
  const auto forged = feed(from_hex(sessions[0].welcome));
  CHECK(forged.action == SlaveAction::failed);
  CHECK(forged.bytes.empty());
}

TEST_CASE("a slave says which key was refused") {
  SlaveHandshake::Options options = slave_options();
  options.registration.name = "stranger";
  MasterHandshake master(master_options());
  SlaveHandshake slave(options);
  const HandshakeOutcome outcome = run(master, slave);
  const auto step = slave.feed(outcome.master.bytes);
  CHECK(step.action == SlaveAction::failed);
  CHECK(step.failure.code == Errc::auth_failed);
  CHECK(step.failure.message == "the master refused the key 4962dc04 of stranger: its log says why");
}

TEST_CASE("a master without keys refuses a slave that has one, at once") {
  MasterHandshake::Options options = master_options();
  options.keys = nullptr;
  const HandshakeOutcome outcome = run(options, slave_options());
  CHECK(outcome.master.action == MasterAction::fail);
  CHECK(has(outcome.master.failure.message, "'worker1' has the key '4962dc04', and there are no keys here"));
}

TEST_CASE("no sentence has a secret in it") {
  SlaveHandshake::Options relayed = slave_options(exporter);
  const HandshakeOutcome outcome = run(master_options(), relayed);
  for (const Secret& hidden : {worker_key, decoy, derive(worker_key, "slave")}) {
    CHECK(outcome.master.failure.message.find(hidden.bytes()) == std::string::npos);
    CHECK(outcome.master.failure.message.find(to_hex(hidden.bytes())) == std::string::npos);
    CHECK(outcome.master.failure.message.find(hidden.to_base64()) == std::string::npos);
  }
}
