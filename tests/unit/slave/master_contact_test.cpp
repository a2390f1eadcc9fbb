// How a slave gets to its master, with masters that the test plays.
#include "slave/master_contact.hpp"

#include "auth/derive.hpp"
#include "auth/master_handshake.hpp"
#include "auth/slave_handshake.hpp"
#include "os/random.hpp"
#include "support/ample.hpp"
#include "support/has.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"
#include "support/tls.hpp"
#include "transport/address.hpp"
#include "transport/endpoint.hpp"
#include "transport/fd_transport.hpp"
#include "transport/tls_transport.hpp"

#include <doctest/doctest.h>
#include <remsh/base/error.hpp>
#include <remsh/slave/enrol.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using auth::MasterHandshake;
using auth::SlaveHandshake;
using SlaveAction = SlaveHandshake::Step::Action;

const Secret right_key = key_of('r');
const Secret wrong_key = key_of('w');

/// How a master is that is played for one connection.
struct MasterOptions {
  bool tls = false;
  std::optional<Certificate> certificate = {};  // with TLS; and no keys for it
  Secret key = right_key;                       // of w1
  bool is_invitation = false;
  bool proves = true;       // else its welcome has another key's proof
  bool is_keyless = false;  // has no keys
};

/// What it saw.
struct Seen {
  Registration registration;
  std::optional<Secret> new_key;
  std::string failure;
  std::string identity;  // that TLS has proven
};

/// A master on a port of the loopback, for one connection. One thread at a time.
class PlayedMaster {
 public:
  explicit PlayedMaster(MasterOptions options) : options_(std::move(options)) {
    auto listening = listen_tcp("127.0.0.1", 0, 1);
    REQUIRE(listening);
    listening_ = std::move(*listening);
    seen_ = std::async(std::launch::async, [this] { return play(); });
  }

  [[nodiscard]] std::string host_and_port() const {
    return "127.0.0.1:" + std::to_string(local_port(listening_.get()));
  }
  [[nodiscard]] Address address(Address::Kind kind) const {
    return {kind, "127.0.0.1", local_port(listening_.get()), {}};
  }
  [[nodiscard]] Address tcp() const { return address(Address::Kind::tcp); }
  [[nodiscard]] Address tls() const { return address(Address::Kind::tls); }

  /// Waits for its end.
  Seen seen() { return seen_.get(); }

 private:
  Seen play() {
    Seen seen;
    pollfd ready{listening_.get(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(ample).count()));
    Accepted accepted = accept_one(listening_.get());
    if (!accepted.socket) {
      seen.failure = "nobody came";
      return seen;
    }
    std::unique_ptr<Transport> transport =
        std::make_unique<SocketTransport>(std::move(accepted.socket), "a slave", false);
    MasterHandshake::Options handshake_options;
    if (options_.tls) {
      std::optional<TlsIdentity> identity;
      if (options_.certificate) identity = TlsIdentity{options_.certificate->certificate, options_.certificate->key};
      const FindTlsKey find = one_key("w1:" + auth::kid(options_.key), auth::derive(options_.key, "tls"));
      const auto server = TlsServer::create(options_.certificate ? FindTlsKey() : find, identity);
      REQUIRE(server);
      auto tls = std::make_unique<TlsTransport>(std::move(transport), (*server)->context());
      if (auto done = tls->handshake(Deadline(ample)); !done) {
        seen.failure = done.failure().message;
        return seen;
      }
      seen.identity = handshake_options.psk_identity = tls->identity();
      handshake_options.enrolment_allowed = true;
      transport = std::move(tls);
    }
    handshake_options.nonce.resize(auth::nonce_size);
    random_bytes(handshake_options.nonce);
    handshake_options.binding = transport->channel_binding();
    if (!options_.is_keyless) {
      handshake_options.keys = std::make_shared<auth::MasterKeys>(
          auth::MasterKeys{.decoy = key_of('d'),
                           .find = [this](BytesView name, BytesView kid) -> auth::KeyAnswer {
                             if (name != "w1" || kid != auth::kid(options_.key)) return {};
                             return {.key = options_.key, .is_invitation = options_.is_invitation};
                           }});
    }
    MasterHandshake handshake(std::move(handshake_options));
    for (;;) {
      std::array<char, 4096> buffer;
      const IoResult result = transport->read_some(buffer, Transport::slice);
      if (result.status == IoResult::Status::would_block) continue;
      if (result.status != IoResult::Status::ok) {
        seen.failure = handshake.at_end().message;
        return seen;
      }
      auto step = handshake.feed(BytesView(buffer.data(), result.bytes));
      seen.failure = step.failure.message;
      if (step.action == MasterHandshake::Step::Action::registered) {
        seen.registration = handshake.registration();
        if (handshake.is_enrolment()) {
          auto enrolment = handshake.enrol();
          step.bytes = std::move(enrolment.welcome);
          seen.new_key = std::move(enrolment.key);
        } else {
          step.bytes = handshake.open(1s);
        }
        if (!options_.proves) step.bytes[step.bytes.find("mac") + 3 + 2] ^= 1;  // behind the length of the value
      }
      std::string_view rest = step.bytes;
      while (!rest.empty()) {
        const IoResult written = transport->write_some({&rest, 1});
        if (written.status == IoResult::Status::failed) return seen;
        rest.remove_prefix(written.bytes);
      }
      if (step.action != MasterHandshake::Step::Action::read && step.action != MasterHandshake::Step::Action::send) {
        return seen;
      }
    }
  }

  const MasterOptions options_;
  UniqueFd listening_;
  std::future<Seen> seen_;
};

SlaveOptions keyed(const Secret& key = right_key) { return {.name = "w1", .key = key}; }
SlaveOptions keyless() { return {.name = "w1", .keyless = true}; }

/// What a slave comes to at a master: the action of the handshake's end, or none, and why.
struct ContactOutcome {
  std::optional<SlaveAction> action;
  Failure failure;
};

ContactOutcome come(const Address& address, const SlaveOptions& options) {
  auto transport = reach_master(address, options, Deadline(ample), {});
  if (!transport) return {std::nullopt, transport.failure()};
  SlaveHandshake::Options handshake;
  handshake.registration = registration_of(options, "/srv");
  handshake.key = options.key;
  auto step = shake_hands(**transport, std::move(handshake), Deadline(ample), {});
  if (!step) return {std::nullopt, step.failure()};
  return {step->action, step->failure};
}

}  // namespace

TEST_CASE("what does not fit together is told before anybody is connected to") {
  const Address tcp{Address::Kind::tcp, "127.0.0.1", 1, {}};
  const Address tls{Address::Kind::tls, "127.0.0.1", 1, {}};
  const Address local{Address::Kind::unix_socket, {}, 0, "/no/such/socket"};
  const auto with = [](SlaveOptions options, const std::function<void(SlaveOptions&)>& change) {
    change(options);
    return options;
  };
  struct Example {
    Address address;
    SlaveOptions options;
    const char* words;
  };
  for (const Example& example : std::vector<Example>{
           {tcp, {.name = "w1"}, "--key FILE"},
           {tcp, {.name = "w1"}, "--keyless"},
           {tls, {.name = "w1"}, "--key FILE"},
           {tls, keyless(), "--key FILE"},
           {tls, {.name = "w1", .tls = {.ca = "ca.pem"}}, "--key FILE"},
           {tcp, {.name = "w1", .key = right_key, .keyless = true}, "one of the two"},
           {tcp, {.name = "w1", .keyless = true, .insecure = true}, "for slaves that have a key"},
           {tcp, {.name = "w1", .key = right_key, .tls = {.ca = "ca.pem"}}, "tls:HOST:PORT"},
           {local, {.name = "w1", .key = right_key, .tls = {.ca = "ca.pem"}}, "tls:HOST:PORT"},
           {tls, {.name = "w1", .key = right_key, .tls = {.server_name = "x"}}, "--ca FILE"},
           {tls, {.name = "w1", .key = right_key, .tls = {.ca = "/no/such/ca.pem"}}, "/no/such/ca.pem"},
           {tcp, with(keyed(), [](SlaveOptions& options) { options.protocol = 1; }), "remsh 1"},
           {tls, with({.name = "w1"}, [](SlaveOptions& options) { options.protocol = 1; }), "remsh 1"},
       }) {
    CAPTURE(example.words);
    const auto reached = reach_master(example.address, example.options, Deadline(ample), {});
    REQUIRE_FALSE(reached);
    CHECK(reached.failure().code == Errc::invalid_argument);
    CHECK_MESSAGE(has(reached.failure().message, example.words), reached.failure().message);
  }
}

TEST_CASE("a slave and a master that share a key come together, over TCP and over TLS") {
  PlayedMaster plain({});
  CHECK(come(plain.tcp(), keyed()).action == SlaveAction::open);
  Seen seen = plain.seen();
  CHECK(seen.failure.empty());
  CHECK(seen.registration.name == "w1");
  CHECK(seen.registration.key_id == auth::kid(right_key));
  CHECK(seen.registration.basedir == "/srv");

  PlayedMaster with_tls({.tls = true});
  CHECK(come(with_tls.tls(), keyed()).action == SlaveAction::open);
  seen = with_tls.seen();
  CHECK(seen.identity == "w1:" + auth::kid(right_key));
  CHECK(seen.registration.key_id == auth::kid(right_key));
}

TEST_CASE("a slave without a key comes where both sides say so") {
  PlayedMaster master({.is_keyless = true});
  CHECK(come(master.tcp(), keyless()).action == SlaveAction::open);
  CHECK(master.seen().registration.key_id.empty());
}

TEST_CASE("a key that the master does not take is told with its id, and not with more") {
  PlayedMaster plain({});
  ContactOutcome outcome = come(plain.tcp(), keyed(wrong_key));
  CHECK(outcome.action == SlaveAction::failed);
  CHECK(outcome.failure.code == Errc::auth_failed);
  CHECK(has(outcome.failure.message, "refused the key " + auth::kid(wrong_key) + " of w1: its log says why"));
  CHECK(has(plain.seen().failure, "there is no such key"));

  PlayedMaster with_tls({.tls = true});
  outcome = come(with_tls.tls(), keyed(wrong_key));
  CHECK_FALSE(outcome.action);
  CHECK(outcome.failure.code == Errc::auth_failed);
  CHECK_MESSAGE(has(outcome.failure.message, "the key " + auth::kid(wrong_key) + " of w1"), outcome.failure.message);
  CHECK(has(with_tls.seen().failure, "no key here for"));
}

TEST_CASE("a slave with a key serves no master that does not prove to have it") {
  PlayedMaster master({.proves = false});
  const ContactOutcome outcome = come(master.tcp(), keyed());
  CHECK(outcome.action == SlaveAction::failed);
  CHECK(outcome.failure.code == Errc::auth_failed);
  CHECK(has(outcome.failure.message, "not our master"));
  master.seen();
}

TEST_CASE("TLS on one side alone fails in words about that") {
  PlayedMaster plain({});
  ContactOutcome outcome = come(plain.tls(), keyed());
  CHECK_FALSE(outcome.action);
  CHECK((outcome.failure.code == Errc::protocol_error || outcome.failure.code == Errc::connection_lost));
  CHECK(has(outcome.failure.message, "TLS"));
  CHECK(has(plain.seen().failure, "TLS greeting"));

  PlayedMaster with_tls({.tls = true});
  outcome = come(with_tls.tcp(), keyed());
  with_tls.seen();
  CHECK_FALSE(outcome.action);
  CHECK(outcome.failure.code == Errc::connection_lost);
  CHECK_MESSAGE(has(outcome.failure.message, "it may want TLS"), outcome.failure.message);
}

TEST_CASE("with a CA the master shows a certificate, of the address's host where no other name is given") {
  const Certificate ca = make_certificate("");
  const Certificate own = make_certificate("IP:127.0.0.1", &ca);
  const Certificate other = make_certificate("DNS:farm.example", &ca);
  const Certificate forged = make_certificate("IP:127.0.0.1");
  struct Example {
    Certificate shown;
    std::string name;
    bool is_good;
  };
  for (const Example& example :
       {Example{own, "", true}, Example{other, "farm.example", true}, Example{other, "", false},
        Example{own, "farm.example", false}, Example{forged, "", false}}) {
    PlayedMaster master({.tls = true, .certificate = example.shown});
    const ContactOutcome outcome = come(
        master.tls(), {.name = "w1", .key = right_key, .tls = {.ca = ca.certificate, .server_name = example.name}});
    const Seen seen = master.seen();
    if (example.is_good) {
      CHECK(outcome.action == SlaveAction::open);
      CHECK(seen.registration.key_id == auth::kid(right_key));
    } else {
      CHECK_FALSE(outcome.action);
      CHECK(outcome.failure.code == Errc::auth_failed);
    }
  }
}

TEST_CASE("who has a key takes no certificate in its place") {
  const Certificate ca = make_certificate("");
  PlayedMaster master({.tls = true, .certificate = make_certificate("IP:127.0.0.1", &ca)});
  const ContactOutcome outcome = come(master.tls(), keyed());
  CHECK_FALSE(outcome.action);
  CHECK(outcome.failure.code == Errc::auth_failed);
  master.seen();
}

TEST_CASE("a unix socket of somebody else is for slaves that have a key") {
  if (::geteuid() != 0) return test::skip("only root can listen as somebody else");
  const TempDir dir;
  constexpr int nobody = 65534;
  UniqueFd listening;
  std::thread([&] {
    // Of this thread alone, so not by libc, which would change all. It listens as somebody else, where root may write.
    auto made = listen_unix(dir / "socket", 1);
    if (::syscall(SYS_setresuid, -1, nobody, -1) != 0 || !made || ::listen(made->socket.get(), 1) != 0) return;
    listening = std::move(made->socket);
  }).join();
  REQUIRE(listening);
  const Address address{Address::Kind::unix_socket, {}, 0, dir / "socket"};
  const auto without = reach_master(address, {.name = "w1"}, Deadline(ample), {});
  REQUIRE_FALSE(without);
  CHECK(without.failure().code == Errc::auth_failed);
  CHECK(has(without.failure().message, "user 65534"));
  CHECK(reach_master(address, keyed(), Deadline(ample), {}));
}

TEST_CASE("an invitation is changed for a key that both sides compute") {
  PlayedMaster master({.tls = true, .is_invitation = true});
  const Secret key = enrol("tls:" + master.host_and_port(), "w1", right_key, {}, ample);
  CHECK(master.seen().new_key == key);
  CHECK_FALSE(key == right_key);
}

TEST_CASE("who enrols at a master that shows a certificate trusts its CA") {
  const Certificate ca = make_certificate("");
  PlayedMaster master({.tls = true, .certificate = make_certificate("IP:127.0.0.1", &ca), .is_invitation = true});
  const Secret key = enrol("tls:" + master.host_and_port(), "w1", right_key, {.ca = ca.certificate}, ample);
  CHECK(master.seen().new_key == key);
}

TEST_CASE("no key comes of an enrolment that is not proven") {
  const auto enrol_at = [](PlayedMaster& master, const Secret& token) {
    std::string text;
    try {
      enrol("tls:" + master.host_and_port(), "w1", token, {}, ample);
    } catch (const AuthError& error) {
      text = error.what();
    }
    master.seen();
    return text;
  };
  PlayedMaster knows_none({.tls = true, .is_invitation = true});
  CHECK(has(enrol_at(knows_none, wrong_key), auth::kid(wrong_key)));
  PlayedMaster knows_a_key({.tls = true});
  CHECK(has(enrol_at(knows_a_key, right_key), "refused the key"));
  PlayedMaster proves_nothing({.tls = true, .is_invitation = true, .proves = false});
  CHECK(has(enrol_at(proves_nothing, right_key), "not our master"));
}

TEST_CASE("an error of an enrolment has the address once, wherever it fails") {
  const auto error_at = [](const std::string& address) {
    try {
      enrol(address, "w1", right_key, {}, 10ms);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  std::string address;
  {
    auto listening = listen_tcp("127.0.0.1", 0, 8);  // the system accepts, nobody reads
    REQUIRE(listening);
    address = "tls:127.0.0.1:" + std::to_string(local_port(listening->get()));
    CHECK(has(error_at(address), "enrol at '" + address + "': "));
    CHECK_FALSE(has(error_at(address), address + ": "));
  }
  const std::string refused = error_at(address);  // nobody listens there any more
  CHECK(has(refused, "enrol at '" + address + "': "));
  CHECK_FALSE(has(refused, address.substr(4) + ": "));
}

TEST_CASE("an invitation is shown over TLS alone") {
  for (const char* address : {"127.0.0.1:1", "tcp:127.0.0.1:1", "unix:/no/such/socket", "nonsense"}) {
    CAPTURE(address);
    try {
      enrol(address, "w1", right_key);
      FAIL_CHECK("enrolled");
    } catch (const Error& error) {
      CHECK(error.code() == Errc::invalid_argument);
    }
  }
  CHECK_THROWS_AS(enrol("tls:127.0.0.1:1", "no name", right_key), Error);
}

}  // namespace remsh::test
