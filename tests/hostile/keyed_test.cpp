// Who tries to get in where slaves have keys, at listeners that run: by what was recorded, by others' keys, from
// between a slave and its master, and by guessing which names there are. Nobody gets in, all are told the same, and the
// honest slave beside them works on.
#include "auth/derive.hpp"
#include "hostile/prey.hpp"
#include "hostile/wire.hpp"
#include "transport/connect.hpp"

#include <remsh/master/unix_slave_listener.hpp>

#include <algorithm>
#include <set>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

enum class Door { tcp, unix_socket, tls };

/// A master that has keys of w1, w2 and others, at a door where strangers can come as far as the handshake: under TLS
/// there is a certificate, by which one gets through it without a key.
class Fortress {
 public:
  explicit Fortress(Door door)
      : door_(door),
        prey(
            {.slave_class =
                 [this](SlaveInit init) {
                   const std::lock_guard lock(mutex_);
                   let_in_.insert(init.info().name);
                   return std::make_shared<Slave>(std::move(init));
                 },
             .address = door == Door::tls ? "tls:127.0.0.1:0" : "tcp:127.0.0.1:0",
             .keys = ring,
             .certificate = door == Door::tls ? std::optional(TlsIdentity{shown.certificate, shown.key}) : std::nullopt,
             .keyless = door != Door::tls}),
        by_path({.slave_collection = prey.slaves, .keys = ring, .path = prey.dir / "socket"}) {
    if (door == Door::unix_socket) by_path.start();
  }

  /// A connection to the handshake, of somebody who has nothing.
  [[nodiscard]] std::unique_ptr<Transport> knock() const {
    if (door_ == Door::tcp) return plain_to(prey.port());
    if (door_ == Door::tls) return tls_to(prey.port(), TlsContext::client(trust()));
    auto socket = connect_to(*parse_address(by_path.address()), ample);
    if (!socket) throw std::runtime_error(socket.failure().message);
    return std::make_unique<SocketTransport>(std::move(*socket), "a master", false);
  }

  /// The same through TLS by the key of a slave.
  [[nodiscard]] std::unique_ptr<Transport> knock_as(const std::string& name, const Secret& by) const {
    return tls_to(prey.port(), TlsContext::client(name + ":" + auth::kid(by), auth::derive(by, "tls")));
  }

  [[nodiscard]] TlsTrust trust() const { return {.ca = authority.certificate, .server_name = "127.0.0.1"}; }

  /// Whether a slave of this name was ever let in.
  [[nodiscard]] bool has_let_in(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return let_in_.contains(name);
  }

  /// Waits until nobody has the name any more.
  void await_end_of(const std::string& name) {
    REQUIRE(eventually([&] { return prey.slaves.find(name) == nullptr; }));
    const std::lock_guard lock(mutex_);
    let_in_.erase(name);
  }

 private:
  const Door door_;
  std::mutex mutex_;
  std::set<std::string> let_in_;

 public:
  const Certificate authority = make_certificate("");
  const Certificate shown = make_certificate("IP:127.0.0.1", &authority);
  KeyRing ring;
  const Secret key = make_key();
  const Secret other_key = make_key();
  const Secret old_key = make_key();
  const Secret far_key = make_key();
  const Secret token = make_key();
  const KeyRegistration w1 = ring.register_slave("w1", key);
  const KeyRegistration w2 = ring.register_slave("w2", other_key);
  const KeyRegistration old = ring.register_slave("old", old_key, {.expires = std::chrono::system_clock::now() - 1h});
  const KeyRegistration far = ring.register_slave("far", far_key, {.networks = {"192.0.2.0/24"}});
  const KeyRegistration invited =
      ring.register_slave("invited", token, {.expires = std::chrono::system_clock::now() + 1h, .is_invitation = true});
  Prey prey;
  UnixSlaveListener by_path;
};

void at_each_door(const std::function<void(Fortress&)>& test) {
  for (const Door door : {Door::tcp, Door::unix_socket, Door::tls}) {
    const int number = static_cast<int>(door);
    CAPTURE(number);
    Fortress fortress(door);
    test(fortress);
    CHECK(fortress.prey.is_unharmed());
  }
}

/// The four boxes of a slave that was let in, and its connection.
struct Session {
  Session(Fortress& fortress, const std::string& name, const Secret& key) : wire(fortress.knock()) {
    Talk talk(name, key, wire.binding());
    wire.send(hello = talk.hello());
    wire.send(prove = talk.prove(challenge = wire.read_box()));
    REQUIRE(talk.is_open(welcome = wire.read_box()));
    fortress.prey.find(name);
  }
  Wire wire;
  Bytes hello;
  Bytes challenge;
  Bytes prove;
  Bytes welcome;
};

/// All that is said to who says these two boxes.
Bytes answer_to(std::unique_ptr<Transport> transport, BytesView hello, BytesView prove) {
  Wire wire(std::move(transport));
  wire.send(hello);
  if (wire.read_box().empty()) return "no challenge";
  wire.send(prove);
  return wire.read_to_end();
}

/// The same where the second box depends on what the master says.
Bytes answer_to(std::unique_ptr<Transport> transport, const std::string& name, const Secret& key,
                const std::function<void(Box&)>& change_hello = {},
                const std::function<void(Box&)>& change_prove = {}) {
  Wire wire(std::move(transport));
  Talk talk(name, key, wire.binding());
  Box hello = box_of(talk.hello());
  if (change_hello) change_hello(hello);
  wire.send(hello);
  const Bytes challenge = wire.read_box();
  if (challenge.empty()) return "no challenge";
  Box prove = box_of(talk.prove(challenge));
  if (change_prove) change_prove(prove);
  wire.send(prove);
  return wire.read_to_end();
}

const Bytes failure = failure_of("2");

/// The mac of a prove, by whichever key of its own somebody has.
Bytes mac_by(const Secret& key, const Bytes& binding, BytesView hello, BytesView challenge, Box prove) {
  const auto body = [](Box box) {
    for (const char* envelope : {"_ask", "_answer", "_command", "mac"}) box.erase(envelope);
    return encode(box);
  };
  auth::Sha256 transcript;
  transcript.update((binding.empty() ? Bytes(32, '\0') : binding) + body(box_of(hello)) + body(box_of(challenge)) +
                    body(std::move(prove)));
  return Bytes(auth::hmac(key.bytes(), transcript.digest()).bytes());
}

}  // namespace

TEST_CASE("G13: what was recorded of an honest slave lets nobody in") {
  at_each_door([](Fortress& fortress) {
    Session honest(fortress, "w1", fortress.key);
    honest.wire.hang_up();
    fortress.await_end_of("w1");
    CHECK(answer_to(fortress.knock(), honest.hello, honest.prove) == failure);
    Wire twice(fortress.knock());
    twice.send(honest.hello);
    CHECK(twice.read_box() != honest.challenge);
    twice.send(honest.prove + honest.prove);  // nor is there a second try
    CHECK(twice.read_to_end().empty());
    Wire at_once(fortress.knock());
    at_once.send(honest.hello + honest.prove);
    CHECK(at_once.read_to_end().empty());
    CHECK_FALSE(fortress.has_let_in("w1"));
  });
}

TEST_CASE("G13: a proof is good where it was asked for, and nowhere else") {
  at_each_door([](Fortress& fortress) {
    const Bytes nonce = random_nonce();
    Wire first(fortress.knock());
    Talk talk("w1", fortress.key, first.binding(), nonce);
    first.send(talk.hello());
    const Bytes prove = talk.prove(first.read_box());
    CHECK(answer_to(fortress.knock(), talk.hello(), prove) == failure);
    CHECK_FALSE(fortress.has_let_in("w1"));
    first.send(prove);
    CHECK(talk.is_open(first.read_box()));
    fortress.prey.find("w1");
  });
}

TEST_CASE("G13: what was recorded of TLS lets nobody in") {
  Fortress fortress(Door::tls);
  Relay relay({.to_master = [&] { return plain_to(fortress.prey.port()); }});
  {
    SlaveThread slave({.name = "w1", .basedir = fortress.prey.dir / "w1", .key = fortress.key},
                      [&](SlaveServer& server) { return server.run_once(relay.address("tls:")); });
    CHECK(fortress.prey.find("w1")->call("echo", {{"word", "here"}}).get("word") == "here");
  }
  relay.stop();
  fortress.await_end_of("w1");
  const Bytes& said = relay.said_by_slave();
  REQUIRE(said.size() > 500);
  for (const std::size_t size : {said.size(), std::size_t{300}}) {
    Wire wire(plain_to(fortress.prey.port()));
    wire.send(BytesView(said).substr(0, size));
    wire.send(BytesView(said).substr(0, size));
    CHECK(wire.read_to_end().find("_answer") == Bytes::npos);
  }
  CHECK_FALSE(fortress.has_let_in("w1"));
  CHECK(fortress.prey.is_unharmed());
}

TEST_CASE("G13: nothing that the master says can be sent back to it") {
  at_each_door([](Fortress& fortress) {
    Session honest(fortress, "w1", fortress.key);
    honest.wire.hang_up();
    fortress.await_end_of("w1");
    const Bytes of_master(*box_of(honest.welcome).get("mac"));
    const auto with_its_mac = [&](Box& prove) { prove.set("mac", of_master); };
    CHECK(answer_to(fortress.knock(), "w1", fortress.key, {}, with_its_mac) == failure);
    CHECK(answer_to(fortress.knock(), honest.hello, encode([&] {
                      Box prove = box_of(honest.prove);
                      with_its_mac(prove);
                      return prove;
                    }())) == failure);
    Wire wire(fortress.knock());
    wire.send(honest.hello);
    const Bytes challenge = wire.read_box();
    wire.send(challenge);  // an answer, where it has asked nothing
    CHECK(wire.read_to_end().empty());
    CHECK_FALSE(fortress.has_let_in("w1"));
  });
}

TEST_CASE("G13: a key is good for its own name, and for its own side") {
  at_each_door([](Fortress& fortress) {
    CHECK(answer_to(fortress.knock(), "w1", fortress.other_key) == failure);
    CHECK(answer_to(fortress.knock(), "w1", fortress.other_key,
                    [&](Box& hello) { hello.set("kid", auth::kid(fortress.key)); }) == failure);
    CHECK(answer_to(fortress.knock(), "w2", fortress.other_key, [](Box& hello) { hello.set("name", "w1"); }) ==
          failure);
    for (const char* purpose : {"master", "tls", "kid", "enrol", "resume", ""}) {
      CAPTURE(purpose);
      Wire wire(fortress.knock());
      Talk talk("w1", fortress.key, wire.binding());
      wire.send(talk.hello());
      const Bytes challenge = wire.read_box();
      Box prove = box_of(talk.prove(challenge));
      const auto mac_of = [&](const Secret& key) {
        return mac_by(key, wire.binding(), talk.hello(), challenge, prove);
      };
      REQUIRE(mac_of(auth::derive(fortress.key, "slave")) == prove.get("mac"));  // this is how it is made
      prove.set("mac", mac_of(*purpose != '\0' ? auth::derive(fortress.key, purpose) : fortress.key));
      wire.send(prove);
      CHECK(wire.read_to_end() == failure);
    }
    CHECK_FALSE(fortress.has_let_in("w1"));
    CHECK_FALSE(fortress.has_let_in("w2"));
    Session(fortress, "w2", fortress.other_key);
  });
}

TEST_CASE("G13: who comes through TLS by one slave's key is not another one, whatever else he knows") {
  Fortress fortress(Door::tls);
  const auto knock = [&] { return fortress.knock_as("w2", fortress.other_key); };
  CHECK(answer_to(knock(), "w1", fortress.key) == failure);  // also with both keys: TLS has one of them
  CHECK(answer_to(knock(), "w1", fortress.other_key) == failure);
  CHECK(answer_to(knock(), "w2", fortress.key) == failure);
  CHECK(answer_to(knock(), "far", fortress.far_key) == failure);
  CHECK_FALSE(fortress.has_let_in("w1"));
  CHECK_FALSE(fortress.has_let_in("w2"));
  CHECK(answer_to(fortress.knock_as("far", fortress.far_key), "far", fortress.far_key) == failure);
  Wire wire(knock());
  Talk talk("w2", fortress.other_key, wire.binding());
  wire.send(talk.hello());
  wire.send(talk.prove(wire.read_box()));
  CHECK(talk.is_open(wire.read_box()));
  CHECK(fortress.prey.is_unharmed());
}

TEST_CASE("G13: who ends TLS between a slave and its master is found out, with a good certificate too") {
  Fortress fortress(Door::tls);
  const auto server = [&](const Certificate& one) {
    const TlsIdentity identity{one.certificate, one.key};
    return *TlsContext::server({}, &identity);
  };
  const SlaveOptions options{
      .name = "w1", .basedir = fortress.prey.dir / "w1", .key = fortress.key, .tls = fortress.trust()};
  for (const Certificate& certificate : {make_certificate("IP:127.0.0.1", &fortress.authority), fortress.shown}) {
    Relay relay({.to_master = [&] { return fortress.knock(); },
                 .tls = server(certificate),
                 .from_slave = [](Box&) {},
                 .from_master = [](Box&) {}});
    SlaveThread slave(options, [&](SlaveServer& one) { return one.run_once(relay.address("tls:")); });
    const ServeResult result = slave.result();
    CHECK_FALSE(result.registered);
    CHECK(result.reason == ServeResult::Reason::refused);
    relay.stop();
    CHECK(relay.said_by_slave().find("mac") != Bytes::npos);  // it came so far
  }
  CHECK_FALSE(fortress.has_let_in("w1"));
  Relay honest({.to_master = [&] { return plain_to(fortress.prey.port()); }});  // who only passes on harms nobody
  SlaveThread slave(options, [&](SlaveServer& one) { return one.run_once(honest.address("tls:")); });
  fortress.prey.find("w1");
  CHECK(fortress.prey.is_unharmed());
}

TEST_CASE("G13: nobody between the two can make them agree on less") {
  Fortress fortress(Door::tcp);
  using Change = std::function<void(Box&)>;
  struct Way {
    std::string words;
    Change from_slave;
    Change from_master;
    bool is_seen_by_slave_alone = false;
  };
  const auto is = [](const Box& box, BytesView command) { return box.get("_command") == command; };
  const auto change = [](BytesView mark, const char* key, const Bytes& value) -> Change {
    return [=](Box& box) {
      if (box.get("_command") == mark || box.get("_answer") == mark) box.set(key, value);
    };
  };
  const auto without = [](BytesView mark, const char* key) -> Change {
    return [=](Box& box) {
      if (box.get("_command") == mark || box.get("_answer") == mark) box.erase(key);
    };
  };
  const Change without_key = [](Box& box) {
    box.erase("kid");
    box.erase("mac");
  };
  const std::vector<Way> ways{{"keyless", without_key, {}},
                              {"keyless, by a name that has none",
                               [&](Box& box) {
                                 without_key(box);
                                 if (is(box, "hello")) box.set("name", "free");
                               },
                               {}},
                              {"without a proof", without("prove", "mac"), {}},
                              {"more versions", change("hello", "versions", "2 3"), {}},
                              {"other versions", change("hello", "versions", "1"), {}},
                              {"more features", change("hello", "features", "bulk"), {}},
                              {"another nonce", change("hello", "nonce", Bytes(32, 'n')), {}},
                              {"a new key", change("hello", "zeal", "1"), {}},
                              {"another place", change("prove", "basedir", "/"), {}},
                              {"another host", change("prove", "hostname", "honest"), {}},
                              {"no host", without("prove", "hostname"), {}},
                              {"to enrol", change("prove", "enrol", "1"), {}},
                              {"another version", {}, change("1", "version", "1")},
                              {"no version", {}, without("1", "version")},
                              {"features that were not offered", {}, change("1", "features", "bulk")},
                              {"another nonce of the master", {}, change("1", "nonce", Bytes(32, 'n'))},
                              {"a new key of the master", {}, change("1", "zeal", "1")},
                              {"a welcome without a proof", {}, without("2", "mac"), true},
                              {"another pace", {}, change("2", "keepalive", "3600000"), true},
                              {"refused", {}, change("2", "refused", "full"), true},
                              {"a welcome with more", {}, change("2", "zeal", "1"), true}};
  for (const Way& way : ways) {
    CAPTURE(way.words);
    Relay relay({.to_master = [&] { return plain_to(fortress.prey.port()); },
                 .from_slave = way.from_slave ? way.from_slave : [](Box&) {},
                 .from_master = way.from_master ? way.from_master : [](Box&) {}});
    SlaveThread slave({.name = "w1", .basedir = fortress.prey.dir / "w1", .key = fortress.key},
                      [&](SlaveServer& one) { return one.run_once(relay.address()); });
    CHECK_FALSE(slave.result().registered);
    relay.stop();
    CHECK(fortress.has_let_in("w1") == way.is_seen_by_slave_alone);
    if (way.is_seen_by_slave_alone) fortress.await_end_of("w1");
  }
  Relay honest({.to_master = [&] { return plain_to(fortress.prey.port()); },
                .from_slave = [](Box&) {},
                .from_master = [](Box&) {}});
  SlaveThread slave({.name = "w1", .basedir = fortress.prey.dir / "w1", .key = fortress.key},
                    [&](SlaveServer& one) { return one.run_once(honest.address()); });
  fortress.prey.find("w1");
  CHECK(fortress.prey.is_unharmed());
}

TEST_CASE("G13: who has no key gets no name that has one") {
  at_each_door([](Fortress& fortress) {
    for (const char* name : {"w1", "w2", "old", "far", "invited", "honest"}) {
      CAPTURE(name);
      Wire wire(fortress.knock());
      wire.send(EvilSlave::hello(name));
      if (const Bytes first = wire.read_box(); box_of(first).has("_answer")) {
        wire.send(EvilSlave::prove());
        CHECK(wire.read_to_end() == failure);
      } else {
        CHECK(first == failure_of("1"));
        CHECK(wire.read_to_end().empty());
      }
      CHECK((name == std::string("honest") || !fortress.has_let_in(name)));
    }
  });
}

TEST_CASE("a listener with TLS says nothing to who speaks without, and the other way round") {
  Fortress with(Door::tls);
  Fortress without(Door::tcp);
  for (const Bytes& bytes : {Talk("w1", with.key).hello(), encode(EvilSlave::hello("evil")), Bytes("\n"),
                             Bytes("GET / HTTP/1.1\r\n\r\n"), Bytes(1000, '\0'), Bytes("\x80\x2e\x01\x03\x01")}) {
    EvilSlave evil(with.prey.port());
    evil.send(bytes);
    evil.end_input();
    Bytes said;
    for (Bytes more = evil.read_bytes(); !more.empty(); more = evil.read_bytes()) said += more;
    CHECK((said.empty() || (said.size() == 7 && said.front() == '\x15')));  // an alert of TLS
  }
  TlsEngine client(*TlsContext::client(with.trust()));
  BytesView nothing;
  client.handshake(nothing);
  Wire wire(plain_to(without.prey.port()));
  wire.send(client.output());
  CHECK(wire.read_to_end().empty());
  CHECK(with.prey.is_unharmed());
  CHECK(without.prey.is_unharmed());
}

TEST_CASE("G13, G14: no bit of a hello or a prove can be another one") {
  Fortress fortress(Door::tcp);
  constexpr std::size_t envelope = 8;  // where the tag is, which is AMP's, and under no proof
  struct Try {
    Talk talk;
    Bytes hello;
    Bytes prove = {};
    std::unique_ptr<EvilSlave> evil = {};
    bool is_asked = false;
  };
  const auto is_waited_for = [](const Bytes& bytes) {  // as the box does not end with them
    BoxDecoder decoder;
    decoder.feed(bytes);
    return !decoder.next() && decoder.error() == BoxError::none;
  };
  const auto flipped = [](Bytes bytes, std::size_t bit) {
    bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ 1U << bit % 8);
    return bytes;
  };
  const auto proven = [&](Try& one) {
    const auto challenge = one.evil->read_box();
    if (!challenge || !challenge->has("_answer")) return false;
    one.prove = one.talk.prove(encode(*challenge));
    return true;
  };
  std::size_t tries = 0;
  std::size_t failures = 0;
  for (const bool in_hello : {true, false}) {
    Talk sample("w1", fortress.key);
    const std::size_t bits =
        8 *
        (in_hello
             ? sample.hello().size()
             : sample
                   .prove(encode(Box{{"_answer", "1"}, {"features", ""}, {"nonce", random_nonce()}, {"version", "2"}}))
                   .size());
    REQUIRE(bits > 800);
    constexpr std::size_t at_once = 128;
    for (std::size_t first = 0; first < bits; first += at_once) {
      std::vector<Try> all;
      std::vector<std::size_t> flips;
      for (std::size_t bit = first; bit < std::min(first + at_once, bits); ++bit) {
        if (bit / 8 == envelope) continue;
        Talk talk("w1", fortress.key);
        const Bytes hello = talk.hello();
        all.push_back({std::move(talk), in_hello ? flipped(hello, bit) : hello});
        flips.push_back(bit);
      }
      for (Try& one : all) {
        one.evil = std::make_unique<EvilSlave>(fortress.prey.port());
        one.evil->send(one.hello);
        if (is_waited_for(one.hello)) one.evil->end_input();
      }
      for (std::size_t i = 0; i < all.size(); ++i) {
        Try& one = all[i];
        one.is_asked = proven(one);
        if (!one.is_asked) continue;
        if (!in_hello) one.prove = flipped(one.prove, flips[i]);
        one.evil->send(one.prove);
        if (is_waited_for(one.prove)) one.evil->end_input();
      }
      for (Try& one : all) {
        ++tries;
        const auto answer = one.is_asked ? one.evil->read_box() : std::nullopt;
        if (!answer) continue;
        ++failures;
        REQUIRE(encode(*answer) == failure);
        REQUIRE(one.evil->read_to_end() == 0);
      }
    }
  }
  MESSAGE(tries, " bits, ", failures, " of them answered");
  CHECK(failures > tries / 3);
  CHECK_FALSE(fortress.has_let_in("w1"));
  Session(fortress, "w1", fortress.key);
  CHECK(fortress.prey.is_unharmed());
}

TEST_CASE("what is wrong with a key cannot be told from the answers") {
  at_each_door([](Fortress& fortress) {
    const Secret nobodys = make_key();
    struct Way {
      std::string words;
      std::string name;
      Secret key;
      std::string kid = {};
      bool enrols = false;
    };
    const std::vector<Way> ways{{"a wrong key", "w1", nobodys, auth::kid(fortress.key)},
                                {"an unknown id", "w1", nobodys},
                                {"an unknown name", "nobody", nobodys},
                                {"an unknown name with an id that there is", "nobody", fortress.key},
                                {"another one's key", "w1", fortress.other_key},
                                {"an expired key", "old", fortress.old_key},
                                {"a wrong key of one that has expired", "old", nobodys, auth::kid(fortress.old_key)},
                                {"from a wrong network", "far", fortress.far_key},
                                {"an invitation as a key", "invited", fortress.token},
                                {"a key as an invitation", "w1", fortress.key, {}, true},
                                {"a name that is in use", "honest", nobodys}};
    std::set<Bytes> challenges;
    for (const Way& way : ways) {
      CAPTURE(way.words);
      Wire wire(fortress.knock());
      const Bytes binding = wire.binding();
      auth::SlaveHandshake handshake({.registration = {.name = way.name},
                                      .nonce = random_nonce(),
                                      .key = way.key,
                                      .binding = binding,
                                      .enrols = way.enrols});
      Box hello = box_of(handshake.start());
      if (!way.kid.empty()) hello.set("kid", way.kid);
      wire.send(hello);
      const Bytes challenge = wire.read_box();
      wire.send(handshake.feed(challenge).bytes);
      CHECK(wire.read_to_end() == failure);
      Box seen = box_of(challenge);
      seen.erase("nonce");
      challenges.insert(encode(seen));
    }
    CHECK(challenges.size() == 1);
  });
}

TEST_CASE("what is wrong with a key cannot be told from the alerts of TLS") {
  Fortress fortress(Door::tls);
  const Secret nobodys = make_key();
  std::set<Bytes> answers;
  const auto ask = [&](const std::string& identity, const Secret& key) {
    TlsEngine client(*TlsContext::client(identity, auth::derive(key, "tls")));
    BytesView nothing;
    client.handshake(nothing);
    Wire wire(plain_to(fortress.prey.port()));
    wire.send(client.output());
    answers.insert(wire.read_to_end());
  };
  ask("w1:" + auth::kid(fortress.key), nobodys);
  ask("w1:" + auth::kid(nobodys), nobodys);
  ask("w1:" + auth::kid(fortress.other_key), fortress.other_key);
  ask("nobody:" + auth::kid(nobodys), nobodys);
  ask("nobody:" + auth::kid(fortress.key), fortress.key);
  ask("old:" + auth::kid(fortress.old_key), fortress.old_key);
  ask("old:" + auth::kid(fortress.old_key), nobodys);
  ask("far:" + auth::kid(fortress.far_key), nobodys);
  ask("invited:" + auth::kid(fortress.token), nobodys);
  ask("honest:00000000", nobodys);
  ask("w1", nobodys);
  ask(":", nobodys);
  ask(std::string(128, 'x'), nobodys);
  CHECK(answers.size() == 1);
  CHECK(answers.begin()->size() == 7);
  CHECK(fortress.prey.is_unharmed());
}

TEST_CASE("what is wrong with a key cannot be told from the time") {
  // To milliseconds: what a look at a file or a sleep would cost. What costs less is lost in the delay of a failure.
  Fortress fortress(Door::tcp);
  using Time = std::chrono::duration<double, std::milli>;
  const Secret nobodys = make_key();
  struct Times {
    std::vector<double> to_challenge;
    std::vector<double> to_failure;
  };
  const auto ask = [&](const std::string& name, const std::string& kid, Times& times) {
    Wire wire(fortress.knock());
    Talk talk(name, nobodys);
    Box hello = box_of(talk.hello());
    hello.set("kid", kid);
    const auto begin = std::chrono::steady_clock::now();
    wire.send(hello);
    const Bytes challenge = wire.read_box();
    const auto middle = std::chrono::steady_clock::now();
    wire.send(talk.prove(challenge));
    REQUIRE(wire.read_box() == failure);
    const auto end = std::chrono::steady_clock::now();
    times.to_challenge.push_back(Time(middle - begin).count());
    times.to_failure.push_back(Time(end - middle).count());
  };
  const auto median = [](std::vector<double> of) {
    std::sort(of.begin(), of.end());
    return of[of.size() / 2];
  };
  double challenge_differs = 1e9;
  double failure_differs = 1e9;
  const auto until = std::chrono::steady_clock::now() + ample;  // a busy machine disturbs many rounds
  while ((challenge_differs > 2 || failure_differs > 2) && std::chrono::steady_clock::now() < until) {
    Times known;
    Times unknown;
    for (int i = 0; i < 7; ++i) {
      ask("w1", auth::kid(fortress.key), known);
      ask("nobody", auth::kid(nobodys), unknown);
    }
    challenge_differs =
        std::min(challenge_differs, std::abs(median(known.to_challenge) - median(unknown.to_challenge)));
    failure_differs = std::min(failure_differs, std::abs(median(known.to_failure) - median(unknown.to_failure)));
    CHECK(*std::min_element(known.to_failure.begin(), known.to_failure.end()) >= 99);
    CHECK(*std::min_element(unknown.to_failure.begin(), unknown.to_failure.end()) >= 99);
  }
  MESSAGE("between names that there are and others, ms: ", challenge_differs, " to the challenge, ", failure_differs,
          " to the failure");
  CHECK(challenge_differs < 2);
  CHECK(failure_differs < 2);
}

}  // namespace remsh::test
