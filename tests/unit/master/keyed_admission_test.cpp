// Slaves with keys at real listeners: who gets in, and for how long.
#include "auth/derive.hpp"
#include "auth/slave_handshake.hpp"
#include "master/names.hpp"
#include "master/runtime.hpp"
#include "support/ample.hpp"
#include "support/fake_clock.hpp"
#include "support/log.hpp"
#include "support/temp_dir.hpp"
#include "transport/address.hpp"
#include "transport/connect.hpp"
#include "transport/tls_engine.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/base/error.hpp>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/tcp_slave_listener.hpp>
#include <remsh/master/unix_slave_listener.hpp>
#include <remsh/transport/descriptors.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::Log;
using SlaveAction = auth::SlaveHandshake::Step::Action;

/// A slave that shakes hands, and then only sees the connection end.
class Stranger {
 public:
  Stranger(const std::string& address, const std::string& name, const std::optional<Secret>& key, bool enrols = false) {
    const auto parsed = parse_address(address);
    REQUIRE(parsed.ok());
    auth::SlaveHandshake::Options options;
    options.registration.name = name;
    options.nonce = Bytes(auth::nonce_size, 'n');
    options.key = key;
    options.enrols = enrols;
    if (parsed->kind == Address::Kind::tls) {
      auto context = TlsContext::client(name + ":" + auth::kid(*key), auth::derive(*key, "tls"));
      REQUIRE(context.ok());
      auto tls = connect_tls(*parsed, *context, ample);
      if (!tls) {
        tls_failure_ = tls.failure();
        return;
      }
      transport_ = std::move(*tls);
    } else {
      auto socket = connect_to(*parsed, ample);
      REQUIRE(socket.ok());
      transport_ = socket_transport(socket->release(), "a listener");
    }
    options.binding = transport_->channel_binding();
    auth::SlaveHandshake handshake(std::move(options));
    step_.bytes = handshake.start();
    step_.action = SlaveAction::send;
    while (step_.action == SlaveAction::send || step_.action == SlaveAction::read) {
      if (step_.action == SlaveAction::send) write(step_.bytes);
      const Bytes bytes = read();
      said_ += bytes;
      if (bytes.empty()) {
        step_.action = SlaveAction::failed;
        step_.failure = handshake.at_end();
      } else {
        step_ = handshake.feed(bytes);
      }
    }
  }

  [[nodiscard]] bool is_in() const { return !tls_failure_ && step_.action == SlaveAction::open; }
  [[nodiscard]] const auth::SlaveHandshake::Step& step() const { return step_; }
  [[nodiscard]] const std::optional<Failure>& tls_failure() const { return tls_failure_; }
  [[nodiscard]] const Bytes& said() const { return said_; }  // by the master

  /// Reads until the master closes; gives what it said.
  Bytes wait_for_end() {
    Bytes all;
    for (;;) {
      const Bytes more = read();
      if (more.empty()) return all;
      all += more;
    }
  }

 private:
  void write(BytesView bytes) {
    while (!bytes.empty()) {
      const std::string_view one[] = {bytes};
      const IoResult result = transport_->write_some(one);
      if (result.status == IoResult::Status::failed) return;
      bytes.remove_prefix(result.bytes);
      if (result.bytes == 0) transport_->wait(Ready::write, ample);
    }
  }
  Bytes read() {
    std::array<char, 4096> buffer{};
    for (;;) {
      const IoResult result = transport_->read_some(buffer, Transport::slice);
      if (result.status == IoResult::Status::would_block) continue;
      return Bytes(buffer.data(), result.bytes);
    }
  }

  std::unique_ptr<Transport> transport_;
  auth::SlaveHandshake::Step step_;
  std::optional<Failure> tls_failure_;
  Bytes said_;
};

struct Master {
  explicit Master(const std::string& address, std::optional<KeyRing> ring, std::optional<TlsIdentity> certificate = {})
      : listener({.slave_collection = slaves,
                  .address = address,
                  .keys = std::move(ring),
                  .certificate = std::move(certificate),
                  .log = lines.hook()}) {
    listener.start();
  }
  std::shared_ptr<Slave> slave(const std::string& name) {
    return slaves.get_slave(ample, [&name](const Slave& candidate) { return candidate.name() == name; });
  }
  Log lines;
  SlaveCollection slaves;
  TcpSlaveListener listener;
};

const std::vector<std::string> both_kinds{"tcp:127.0.0.1:0", "tls:127.0.0.1:0", "tcp:[::1]:0"};

std::string refusal_of_options(const TcpListenerOptions& options) {
  try {
    const TcpSlaveListener listener(options);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument);
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("a slave that proves its key is in, and the master knows by which, and what belongs to it") {
  for (const std::string& address : both_kinds) {
    CAPTURE(address);
    KeyRing ring;
    const Secret key = make_key();
    const auto registered = ring.register_slave("w1", key, {.labels = {{"rack", "7"}}});
    Master master(address, ring);
    const Stranger slave(master.listener.address(), "w1", key);
    REQUIRE(slave.is_in());
    const auto handle = master.slave("w1");
    REQUIRE(handle);
    CHECK(handle->info().key_id == auth::kid(key));
    CHECK(handle->info().labels == std::map<std::string, std::string>{{"rack", "7"}});
  }
}

TEST_CASE("whoever does not, is told the same, whatever was wrong; the log knows more") {
  KeyRing ring;
  const Secret key = make_key();
  const Secret other = make_key();
  const auto w1 = ring.register_slave("w1", key);
  const auto w2 = ring.register_slave("w2", other, {.networks = {"10.0.0.0/8"}});
  Master master("tcp:127.0.0.1:0", ring);
  const std::string address = master.listener.address();
  const Stranger wrong(address, "w1", other);
  const Stranger unknown(address, "w9", key);
  const Stranger elsewhere(address, "w2", other);
  const Stranger keyless(address, "w3", std::nullopt);
  for (const Stranger* stranger : {&wrong, &unknown, &elsewhere}) {
    CHECK_FALSE(stranger->is_in());
    CHECK(stranger->said().size() == wrong.said().size());
    CHECK(stranger->said().ends_with(wrong.said().substr(wrong.said().size() - 60)));
  }
  CHECK_FALSE(keyless.is_in());
  CHECK(master.lines.wait_for("unknown kid " + auth::kid(other) + " (the name has: " + auth::kid(key) + ")"));
  CHECK(master.lines.wait_for("unknown name"));
  CHECK(master.lines.wait_for("network not allowed"));
  CHECK(master.slaves.size() == 0);
  CHECK(Stranger(address, "w1", key).is_in());
}

/// All that a master says, in plain bytes, to who claims a key under TLS that it does not have.
Bytes tls_answer_to(const std::string& address, const std::string& name, const Secret& key) {
  const auto context = TlsContext::client(name + ":" + auth::kid(key), auth::derive(key, "tls"));
  REQUIRE(context.ok());
  Address plain = *parse_address(address);
  plain.kind = Address::Kind::tcp;
  auto socket = connect_to(plain, ample);
  REQUIRE(socket.ok());
  const auto transport = socket_transport(socket->release(), "a listener");
  TlsEngine engine(*context);
  BytesView nothing;
  REQUIRE(engine.handshake(nothing) == TlsEngine::Status::want_input);
  const BytesView hello = engine.output();
  REQUIRE(transport->write_some({&hello, 1}).bytes == hello.size());
  Bytes all;
  for (;;) {
    std::array<char, 4096> buffer{};
    const IoResult result = transport->read_some(buffer, Transport::slice);
    if (result.status == IoResult::Status::would_block) continue;
    if (result.status != IoResult::Status::ok) return all;
    all.append(buffer.data(), result.bytes);
  }
}

TEST_CASE("under TLS a wrong key and an unknown name get the same alert") {
  KeyRing ring;
  const Secret key = make_key();
  const Secret old = make_key();
  const Secret imposter = make_key();
  const auto w1 = ring.register_slave("w1", key);
  const auto w2 = ring.register_slave("w2", old, {.expires = std::chrono::system_clock::now() - 1h});
  Master master("tls:127.0.0.1:0", ring);
  const std::string address = master.listener.address();
  const Bytes unknown = tls_answer_to(address, "w9", key);
  REQUIRE(unknown.size() == 7);  // a record of 2 bytes
  CHECK(unknown.starts_with("\x15\x03\x03"));
  CHECK(tls_answer_to(address, "w1", imposter) == unknown);
  CHECK(tls_answer_to(address, "w2", old) == unknown);
  const Stranger wrong(address, "w1", imposter);
  REQUIRE(wrong.tls_failure());
  CHECK(wrong.tls_failure()->message.ends_with(
      ": the other side does not accept our key: compare name and key of both sides; its log says why"));
  CHECK(Stranger(address, "w1", key).is_in());
}

TEST_CASE("under TLS the log says why a key does not count, in the words that it has without") {
  KeyRing ring;
  const Secret old = make_key();
  const Secret token = make_key();
  const Secret key = make_key();
  const auto soon = std::chrono::system_clock::now() + 1h;
  const auto w1 = ring.register_slave("w1", old, {.expires = std::chrono::system_clock::now() - 1h});
  const auto w2 = ring.register_slave("w2", token, {.expires = soon, .is_invitation = true});
  const auto w3 = ring.register_slave("w3", key);
  Master master("tls:127.0.0.1:0", ring);
  const std::string address = master.listener.address();
  CHECK(Stranger(address, "w1", old).tls_failure());
  CHECK(master.lines.wait_for("'w1:" + auth::kid(old) + "': line expired, at "));
  REQUIRE(Stranger(address, "w2", token, true).step().new_key);
  CHECK(Stranger(address, "w2", token, true).tls_failure());
  CHECK(master.lines.wait_for("'w2:" + auth::kid(token) + "': token used, at "));
  CHECK(Stranger(address, "w9", key).tls_failure());
  CHECK(master.lines.wait_for("'w9:" + auth::kid(key) + "': unknown name"));
  CHECK(Stranger(address, "w3", old).tls_failure());
  CHECK(master.lines.wait_for("unknown kid " + auth::kid(old) + " (the name has: " + auth::kid(key) + ")"));
}

TEST_CASE("a slave that has enrolled is told of once, and not as one that was not let in") {
  KeyRing ring;
  const Secret token = make_key();
  const auto w1 =
      ring.register_slave("w1", token, {.expires = std::chrono::system_clock::now() + 1h, .is_invitation = true});
  Log lines;
  {
    SlaveCollection slaves;
    TcpSlaveListener listener(
        {.slave_collection = slaves, .address = "tls:127.0.0.1:0", .keys = ring, .log = lines.hook()});
    listener.start();
    REQUIRE(Stranger(listener.address(), "w1", token, true).step().new_key);
  }  // and all is logged
  CHECK(lines.text().find("w1: enrolled from tcp 127.0.0.1:") != std::string::npos);
  CHECK(lines.text().find("not let in") == std::string::npos);
}

TEST_CASE("a key file that turns bad is told to the log of each listener that has it") {
  const test::TempDir dir;
  const std::string path = dir / "slaves.keys";
  const auto write = [&](const std::string& content) {
    dir.write("part", content);
    REQUIRE(::chmod((dir / "part").c_str(), 0600) == 0);
    REQUIRE(std::rename((dir / "part").c_str(), path.c_str()) == 0);
  };
  write("w1 " + std::string(make_key().to_base64()) + "\n");
  const KeyFile file(path);
  Master first("tcp:127.0.0.1:0", file);
  Master second("tcp:127.0.0.1:0", file);
  write("nonsense\n");
  CHECK(first.lines.wait_for("until then the keys are those that were read before"));
  CHECK(second.lines.wait_for("until then the keys are those that were read before"));
  Master third("tcp:127.0.0.1:0", file);
  CHECK(third.lines.wait_for("until then the keys are those that were read before"));
}

TEST_CASE("a key that is gone from its file counts no more, however many callbacks hang") {
  constexpr int threads = 256;  // for them: Runtime
  constexpr int count = threads + 40;
  const test::TempDir dir;
  const std::string path = dir / "slaves.keys";
  const auto write = [&](const std::string& content) {
    dir.write("part", content);
    REQUIRE(::chmod((dir / "part").c_str(), 0600) == 0);
    REQUIRE(std::rename((dir / "part").c_str(), path.c_str()) == 0);
  };
  const Secret key = make_key();
  write("w1 " + std::string(key.to_base64()) + "\n");
  std::promise<void> go;
  struct Prepared final : Slave {
    Prepared(SlaveInit init, std::function<void()> wait) : Slave(std::move(init)), wait_(std::move(wait)) {}
    void setup() override { on_disconnect(wait_); }
    std::function<void()> wait_;
  };
  std::atomic<int> hanging = 0;
  const auto wait = [gone = go.get_future().share(), &hanging] {
    ++hanging;
    gone.wait();
  };
  SlaveCollection slaves;
  const auto is_in = [&slaves](const std::string& name) {
    return slaves.get_slave(ample, [&name](const Slave& one) { return one.name() == name; }) != nullptr;
  };
  Log lines;
  TcpSlaveListener listener(
      {.slave_collection = slaves,
       .slave_class = [&wait](SlaveInit init) { return std::make_shared<Prepared>(std::move(init), wait); },
       .address = "tcp:127.0.0.1:0",
       .keys = KeyFile(path),
       .keyless = true,
       .log = lines.hook()});
  listener.start();
  for (int i = 0; i < count; ++i) {
    const std::string name = "s" + std::to_string(i);
    const Stranger slave(listener.address(), name, std::nullopt);
    REQUIRE(is_in(name));
  }
  const auto until = std::chrono::steady_clock::now() + ample;
  while (hanging < threads) {
    REQUIRE(std::chrono::steady_clock::now() < until);
    std::this_thread::yield();
  }
  Stranger first(listener.address(), "w1", key);
  REQUIRE(first.is_in());
  REQUIRE(is_in("w1"));
  CHECK(hanging == threads);
  write("# nobody\n");
  CHECK(first.wait_for_end().find("its key does not count any more") != Bytes::npos);
  CHECK_FALSE(Stranger(listener.address(), "w1", key).is_in());
  go.set_value();
}

TEST_CASE("a slave that reconnects in a loop is slowed down, costs a bounded number of callbacks, and few lines") {
  KeyRing ring;
  const Secret key = make_key();
  const auto w1 = ring.register_slave("w1", key);
  Master master("tcp:127.0.0.1:0", ring);
  const auto begun = std::chrono::steady_clock::now();
  int let_in = 0;
  std::string refused;
  for (int i = 0; i < 400; ++i) {
    const Stranger slave(master.listener.address(), "w1", key);
    if (slave.is_in()) {
      ++let_in;
    } else if (slave.step().failure.message.find("it comes too often") != std::string::npos) {
      CHECK(slave.step().retry.value_or(0ms) > 0ms);
      refused = slave.step().failure.message;
    }
  }
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begun).count() + 1;
  CHECK(refused != "");
  CHECK(let_in <= 16 + 4 * seconds);
  const std::string text = master.lines.text();
  const auto lines = std::count(text.begin(), text.end(), '\n');
  CHECK(lines <= 32 + seconds + 2);
}

TEST_CASE("a slave that its slave class refuses comes no more often than its pace allows, and others are not slowed") {
  test::FakeClock clock;  // stands still, so that the numbers are exact
  std::map<std::string, int> asked;
  Log lines;
  SlaveCollection slaves;
  test::TempDir dir;
  UnixSlaveListener listener({.slave_collection = slaves,
                              .slave_class = [&asked](SlaveInit init) -> std::shared_ptr<Slave> {
                                ++asked[init.info().name];
                                throw SlaveRefused("not today");
                              },
                              .path = dir / "socket",
                              .log = lines.hook(),
                              .runtime = std::make_shared<Runtime>(clock)});
  listener.start();
  const auto refusal = [&](const std::string& name) {
    const Stranger slave(listener.address(), name, std::nullopt);
    CHECK_FALSE(slave.is_in());
    return slave.step();
  };
  for (std::size_t i = 0; i < Names::pace.burst; ++i) CHECK(refusal("w1").failure.message.ends_with("not today"));
  for (int i = 0; i < 3; ++i) {
    const auto step = refusal("w1");
    CHECK(step.failure.message.find("it comes too often") != std::string::npos);
    CHECK(step.retry == std::chrono::ceil<std::chrono::milliseconds>(Names::pace.interval));
  }
  CHECK(refusal("w2").failure.message.ends_with("not today"));
  clock.advance(Names::pace.interval);
  CHECK(refusal("w1").failure.message.ends_with("not today"));
  CHECK(refusal("w1").failure.message.find("it comes too often") != std::string::npos);
  CHECK(asked["w1"] == Names::pace.burst + 1);
  CHECK(asked["w2"] == 1);
}

TEST_CASE("a slave that proves its key is not refused for a claimant that it displaces, however late that one is") {
  test::FakeClock clock;  // stands still, so that no look at the rights of slaves ends the claimant first
  Log lines;
  SlaveCollection slaves;
  test::TempDir dir;
  std::promise<void> begun;
  std::promise<void> claimed;
  std::promise<void> added;
  std::weak_ptr<Slave> displaced;
  std::function<void()> be_late;
  struct Late final : Slave {
    Late(SlaveInit init, const std::function<void()>& work) : Slave(std::move(init)), work_(work) {}
    void setup() override { work_(); }
    const std::function<void()>& work_;
  };
  UnixSlaveListener by_path({.slave_collection = slaves,
                             .slave_class = [&](SlaveInit init) -> std::shared_ptr<Slave> {
                               auto slave = std::make_shared<Late>(std::move(init), be_late);
                               displaced = slave;
                               return slave;
                             },
                             .path = dir / "socket",
                             .log = lines.hook(),
                             .runtime = std::make_shared<Runtime>(clock)});
  KeyRing ring;
  TcpSlaveListener keyed({.slave_collection = slaves,
                          .slave_class =
                              [&](SlaveInit init) {
                                claimed.set_value();
                                added.get_future().wait();
                                return std::make_shared<Slave>(std::move(init));
                              },
                          .address = "tcp:127.0.0.1:0",
                          .keys = ring,
                          .log = lines.hook()});
  keyed.start();
  by_path.start();
  be_late = [&] {  // as if add_slave() came late; setup() may call it
    begun.set_value();
    claimed.get_future().wait();
    slaves.add_slave(displaced.lock());
    added.set_value();
    CHECK((lines.wait_for("w1: registered from") || lines.text().find("w1: not let in") != std::string::npos));
  };
  const Stranger keyless(by_path.address(), "w1", std::nullopt);
  CHECK(keyless.is_in());
  begun.get_future().wait();
  const Secret key = make_key();
  const auto w1 = ring.register_slave("w1", key);
  Stranger proven(keyed.address(), "w1", key);
  CHECK(proven.is_in());
  CHECK(lines.wait_for("w1: registered from"));
  const auto slave = slaves.find("w1");
  REQUIRE(slave);
  CHECK(slave->is_connected());
  CHECK(slave->info().key_id == auth::kid(key));
}

TEST_CASE("a network that a key does not come from is no way in under TLS either") {
  KeyRing ring;
  const Secret key = make_key();
  const auto w1 = ring.register_slave("w1", key, {.networks = {"10.0.0.0/8"}});
  Master master("tls:127.0.0.1:0", ring);
  CHECK_FALSE(Stranger(master.listener.address(), "w1", key).is_in());
  CHECK(master.lines.wait_for("network not allowed"));
}

TEST_CASE("a key that is dropped, replaced or expires ends what came in by it, and nothing else") {
  for (const std::string& address : both_kinds) {
    CAPTURE(address);
    KeyRing ring;
    const Secret key = make_key();
    const Secret other = make_key();
    auto w1 = ring.register_slave("w1", key);
    auto w2 = ring.register_slave("w2", make_key());
    auto w3 = ring.register_slave("w3", other);
    Master master(address, ring);
    Stranger first(master.listener.address(), "w1", key);
    const Stranger third(master.listener.address(), "w3", other);
    REQUIRE(first.is_in());
    REQUIRE(master.slave("w1"));
    const auto stays = master.slave("w3");
    REQUIRE(stays);
    w2.update(make_key());  // of nobody who is here
    w1.update(make_key());
    CHECK(first.wait_for_end().find("its key does not count any more") != Bytes::npos);
    CHECK_FALSE(Stranger(master.listener.address(), "w1", key).is_in());
    CHECK(stays->is_connected());
    std::promise<void> gone;
    stays->on_disconnect([&gone] { gone.set_value(); });
    w3.update({.expires = std::chrono::system_clock::now() - 1s});
    REQUIRE(gone.get_future().wait_for(ample) == std::future_status::ready);
    CHECK(stays->lost_reason() == "its key does not count any more");
  }
}

TEST_CASE("a key file is followed: lines that come and go count within a second, and others are left in peace") {
  const test::TempDir dir;
  const std::string file = dir / "slaves.keys";
  const Secret key = make_key();
  const Secret other = make_key();
  const auto write = [&](const std::string& content) {
    const std::string part = dir / "part";
    std::ofstream(part) << content;
    REQUIRE(::chmod(part.c_str(), 0600) == 0);
    REQUIRE(std::rename(part.c_str(), file.c_str()) == 0);
  };
  const std::string line = "w1 " + std::string(key.to_base64()) + "\n";
  write(line);
  Master master("tcp:127.0.0.1:0", KeyFile(file));
  Stranger first(master.listener.address(), "w1", key);
  REQUIRE(first.is_in());
  const auto handle = master.slave("w1");
  write(line + "w2 " + std::string(other.to_base64()) + "\n");
  while (!Stranger(master.listener.address(), "w2", other).is_in()) {
  }
  CHECK(handle->is_connected());
  write("w2 " + std::string(other.to_base64()) + "\n");
  first.wait_for_end();
  CHECK(handle->lost_reason() == "its key does not count any more");
  CHECK(master.lines.text().find(std::string(key.to_base64())) == std::string::npos);
}

TEST_CASE("an invitation gives a slave a key of its own, once, and only under TLS") {
  KeyRing ring;
  const Secret token = make_key();
  const KeyTerms terms{.expires = std::chrono::system_clock::now() + 1h, .is_invitation = true};
  const auto invited = ring.register_slave("w1", token, terms);
  Master master("tls:127.0.0.1:0", ring);
  Master plain("tcp:127.0.0.1:0", ring);
  CHECK_FALSE(Stranger(plain.listener.address(), "w1", token, true).step().action == SlaveAction::enrolled);
  CHECK_FALSE(Stranger(master.listener.address(), "w1", token).is_in());  // a token is no key
  const Stranger enrolled(master.listener.address(), "w1", token, true);
  REQUIRE(enrolled.step().action == SlaveAction::enrolled);
  REQUIRE(enrolled.step().new_key);
  CHECK(master.lines.wait_for("enrolled from"));
  CHECK(master.slaves.size() == 0);
  const Stranger slave(master.listener.address(), "w1", enrolled.step().new_key);
  CHECK(slave.is_in());
  const Stranger again(master.listener.address(), "w1", token, true);
  CHECK(again.tls_failure());
}

TEST_CASE("on a unix socket a slave needs no key, but no name that has one is given to it") {
  const test::TempDir dir;
  KeyRing ring;
  const Secret key = make_key();
  const auto w1 = ring.register_slave("w1", key);
  Log lines;
  SlaveCollection slaves;
  UnixSlaveListener listener({.slave_collection = slaves, .keys = ring, .path = dir / "socket", .log = lines.hook()});
  listener.start();
  CHECK(Stranger(listener.address(), "w2", std::nullopt).is_in());
  CHECK_FALSE(Stranger(listener.address(), "w1", std::nullopt).is_in());
  CHECK(Stranger(listener.address(), "w1", key).is_in());
}

TEST_CASE("a TCP listener that nobody could use, or nobody should, is refused with what to do") {
  SlaveCollection slaves;
  KeyRing ring;
  CHECK(refusal_of_options({.slave_collection = slaves}).find("give it `keys`, or say `keyless`") != std::string::npos);
  CHECK(refusal_of_options({.slave_collection = slaves, .host = "0.0.0.0", .keyless = true})
            .find("for the loopback alone") != std::string::npos);
  CHECK(refusal_of_options({.slave_collection = slaves, .address = "tcp:0.0.0.0:0", .keys = ring})
            .find("tls:HOST:PORT") != std::string::npos);
  CHECK(
      refusal_of_options({.slave_collection = slaves, .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}})
          .find("say `keyless` as well") != std::string::npos);
  CHECK(refusal_of_options({.slave_collection = slaves,
                            .address = "tls:127.0.0.1:0",
                            .keys = ring,
                            .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}})
            .find("say `keyless` as well") != std::string::npos);
  for (const SlaveProtocol& protocol : {SlaveProtocol::buildbot_pb(), SlaveProtocol::buildbot_msgpack()}) {
    CHECK(refusal_of_options(
              {.slave_collection = slaves, .address = "tls:127.0.0.1:0", .keys = ring, .protocols = {protocol}})
              .find("need a certificate under TLS") != std::string::npos);
  }
  CHECK(refusal_of_options({.slave_collection = slaves,
                            .address = "tcp:0.0.0.0:0",
                            .insecure = true,
                            .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}}) != "nothing");
  CHECK(refusal_of_options({.slave_collection = slaves,
                            .address = "tcp:0.0.0.0:0",
                            .keys = ring,
                            .keyless = true,
                            .insecure = true,
                            .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}})
            .find("for the loopback alone") != std::string::npos);
  CHECK(refusal_of_options({.slave_collection = slaves, .address = "tls:127.0.0.1:0", .keyless = true})
            .find("TLS needs the `keys`") != std::string::npos);
  CHECK(
      refusal_of_options({.slave_collection = slaves, .address = "unix:/x", .keys = ring}).find("UnixSlaveListener") !=
      std::string::npos);
  CHECK(refusal_of_options({.slave_collection = slaves, .address = "tls:127.0.0.1", .keys = ring}) != "nothing");
  CHECK(refusal_of_options({.slave_collection = slaves, .address = "tcp:0.0.0.0:0", .keys = ring, .insecure = true}) ==
        "nothing");
  const TcpSlaveListener by_default({.slave_collection = slaves, .keys = ring});
  TcpSlaveListener started({.slave_collection = slaves, .keys = ring});
  started.start();
  CHECK(started.address() == "tls:127.0.0.1:" + std::to_string(started.port()));
}

TEST_CASE("who connects and says nothing, under TLS as well, is let go in time") {
  KeyRing ring;
  const auto w1 = ring.register_slave("w1", make_key());
  SlaveCollection slaves;
  Log lines;
  TcpSlaveListener listener({.slave_collection = slaves, .keys = ring, .handshake_timeout = 50ms, .log = lines.hook()});
  listener.start();
  const auto address = parse_address("tcp:127.0.0.1:" + std::to_string(listener.port()));
  auto socket = connect_to(*address, ample);
  REQUIRE(socket.ok());
  CHECK(lines.wait_for("did not register within 50 ms"));
}

}  // namespace remsh
