// Slaves and masters that prove themselves by keys, over TCP and TLS.
#include "support/has.hpp"
#include "support/slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/auth/key_ring.hpp>
#include <remsh/connection/connection.hpp>
#include <remsh/slave/enrol.hpp>

#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using Reason = ServeResult::Reason;

/// A master on the loopback that asks for keys. One thread at a time.
class KeyedMaster {
 public:
  explicit KeyedMaster(const std::string& address = "tls:127.0.0.1:0", bool keyless = false) {
    TcpListenerOptions options{.slave_collection = slaves, .address = address};
    options.keys = keys;
    options.keyless = keyless;
    options.log = log.hook();
    listener.emplace(std::move(options));
    listener->start();
  }

  /// The other kind of its address.
  [[nodiscard]] std::string with_other_transport() const {
    const std::string address = listener->address();
    return address.starts_with("tls:") ? address.substr(4) : "tls:" + address;
  }

  [[nodiscard]] SlaveOptions options(std::optional<Secret> key, const std::string& name = "w1") const {
    SlaveOptions options{.name = name, .basedir = dir / name, .key = std::move(key)};
    options.back_off_min = 1ms;
    options.back_off_max = 10ms;
    options.log = log.hook();
    return options;
  }

  /// How it goes for a slave that comes once, and is not let in.
  [[nodiscard]] ServeResult come(std::optional<Secret> key, const std::string& name = "w1") const {
    SlaveServer server(options(std::move(key), name));
    return server.run_once(listener->address());
  }

  const TempDir dir;
  const Log log;
  KeyRing keys;
  SlaveCollection slaves;
  std::optional<TcpSlaveListener> listener;
};

/// Plays a master that has no keys, and lets in whoever comes.
std::unique_ptr<Connection> welcome_by_hand(std::unique_ptr<Transport> transport, bool with_mac) {
  auto connection = std::make_unique<Connection>(std::move(transport));
  REQUIRE(connection->read_box(ample));
  connection->send_box({{"_answer", "1"}, {"features", ""}, {"nonce", Bytes(32, 'm')}, {"version", "2"}});
  const auto prove = connection->read_box(ample);
  REQUIRE(prove);
  CHECK(prove->has("mac"));
  Box welcome{{"_answer", "2"}, {"keepalive", "10000"}};
  if (with_mac) welcome.set("mac", Bytes(32, 'm'));
  connection->send_box(welcome);
  return connection;
}

}  // namespace

TEST_CASE("a slave that has the key comes in over TCP and over TLS, and works") {
  for (const char* address : {"tcp:127.0.0.1:0", "tls:127.0.0.1:0"}) {
    CAPTURE(address);
    KeyedMaster master(address);
    const Secret key = make_key();
    const auto registered = master.keys.register_slave("w1", key);
    SlaveThread thread(master.options(key),
                       [&](SlaveServer& server) { return server.run_once(master.listener->address()); });
    const auto slave = master.slaves.get_slave(ample);
    REQUIRE(slave);
    CHECK(slave->name() == "w1");
    CHECK_FALSE(slave->info().key_id.empty());
    CHECK(slave->execute({"cat"}, {.in = Source::bytes(Bytes(1'000'000, 'x'))}).out.size() == 1'000'000);
    slave->disconnect("that was all");
    CHECK(thread.result().reason == Reason::ended);
  }
}

TEST_CASE("a slave that has a key and is not there is missing, and a notice says so, with why it left") {
  KeyRing keys;
  const Secret key = make_key();
  const auto w1 = keys.register_slave("w1", key);
  const auto w2 = keys.register_slave("w2", make_key());
  const TempDir dir;
  const Event w1_left;
  const Event w1_missing;
  const Event w2_missing;
  SlaveCollection slaves({.missing_timeout = 1ms});
  const auto subscription = slaves.on_change([&](const SlaveNotice& notice) {
    if (notice.kind == SlaveNotice::left) w1_left.happened();
    if (notice.kind != SlaveNotice::missing) return;
    CHECK(notice.slave == nullptr);
    if (notice.name == "w2") {
      CHECK_FALSE(notice.last_seen);
      w2_missing.happened();
    } else if (notice.last_seen) {  // not before it has come
      CHECK(notice.reason == DisconnectReason::closed_here);
      CHECK(has(notice.words, "that was all"));
      w1_missing.happened();
    }
  });
  CHECK(slaves.missing().empty());
  TcpSlaveListener listener({.slave_collection = slaves, .keys = keys});
  listener.start();
  SlaveThread thread({.name = "w1", .basedir = dir / "w1", .key = key},
                     [&](SlaveServer& server) { return server.run_once(listener.address()); });
  const auto slave = slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(w2_missing.wait());
  std::vector<MissingSlave> missing = slaves.missing();
  REQUIRE(missing.size() == 1);
  CHECK(missing[0].name == "w2");
  CHECK_FALSE(missing[0].last_seen);
  slave->disconnect("that was all");
  CHECK(w1_missing.wait());
  CHECK(w1_left.wait());
  missing = slaves.missing();
  REQUIRE(missing.size() == 2);
  CHECK(missing[0].name == "w1");
  CHECK(missing[0].last_seen);
  CHECK(missing[0].reason == DisconnectReason::closed_here);
  CHECK(has(missing[0].words, "that was all"));
}

TEST_CASE("a slave with a wrong key, an unknown name or none at all is refused, and the master's log says why") {
  for (const char* address : {"tcp:127.0.0.1:0", "tls:127.0.0.1:0"}) {
    CAPTURE(address);
    KeyedMaster master(address);
    const Secret key = make_key();
    const auto registered = master.keys.register_slave("w1", key);
    ServeResult result = master.come(make_key());
    CHECK(result.reason == Reason::refused);
    CHECK(has(result.message, "key"));
    CHECK(has(result.message, "of w1"));
    CHECK_FALSE(result.registered);
    result = master.come(key, "w2");
    CHECK(result.reason == Reason::refused);
    CHECK(has(result.message, "of w2"));
    CHECK(master.log.wait_for("w2"));
    CHECK(master.slaves.size() == 0);
  }
}

TEST_CASE("a slave without a key is let in where the listener says so, and never with the name of a key") {
  for (const bool is_allowed : {false, true}) {
    CAPTURE(is_allowed);
    KeyedMaster master("tcp:127.0.0.1:0", is_allowed);
    const auto registered = master.keys.register_slave("w1", make_key());
    SlaveOptions options = master.options(std::nullopt);
    options.keyless = true;
    SlaveServer of_a_key(options);
    CHECK(of_a_key.run_once(master.listener->address()).reason == Reason::refused);

    options.name = "w2";
    SlaveThread other(options, [&](SlaveServer& server) { return server.run_once(master.listener->address()); });
    if (is_allowed) {
      CHECK(master.slaves.get_slave(ample));
    } else {
      CHECK(other.result().reason == Reason::refused);
    }
  }
}

TEST_CASE("a slave whose key is not known tries on with it, and comes in when it is") {
  for (const char* address : {"tcp:127.0.0.1:0", "tls:127.0.0.1:0"}) {
    CAPTURE(address);
    KeyedMaster master(address);
    const Secret key = make_key();
    SlaveThread thread(master.options(key),
                       [&](SlaveServer& server) { return server.run(master.listener->address()); });
    CHECK(master.log.wait_for("of w1"));
    CHECK(master.log.wait_for("; connecting again in "));
    const auto registered = master.keys.register_slave("w1", key);
    const auto slave = master.slaves.get_slave(ample);
    REQUIRE(slave);
    CHECK_FALSE(slave->info().key_id.empty());
  }
}

namespace {

/// Replaces a slave's key file in one step, as an operator does.
void write_key_file(const std::string& path, const std::string& text) {
  {
    std::ofstream file(path + ".new");
    file << text;
  }
  REQUIRE(::chmod((path + ".new").c_str(), 0600) == 0);
  REQUIRE(::rename((path + ".new").c_str(), path.c_str()) == 0);
}

std::string line_of(const Secret& key, const std::string& name = "w1") { return name + " " + key.to_base64() + "\n"; }

}  // namespace

TEST_CASE("a slave comes back with the key that its file has then") {
  KeyedMaster master;
  const std::string file = master.dir / "w1.key";
  const Secret old_key = make_key();
  const Secret new_key = make_key();
  std::optional<KeyRegistration> old_line = master.keys.register_slave("w1", old_key);
  write_key_file(file, line_of(old_key));
  SlaveOptions options = master.options(std::nullopt, "");
  options.key_file = file;
  SlaveThread thread(options, [&](SlaveServer& server) { return server.run(master.listener->address()); });
  auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->name() == "w1");
  const std::string old_id = slave->info().key_id;

  const auto new_line = master.keys.register_slave("w1", new_key);  // both count for a while
  write_key_file(file, line_of(new_key));
  slave->disconnect("rotate");
  const auto has_new_key = [&old_id](const Slave& s) { return s.info().key_id != old_id; };
  slave = master.slaves.get_slave(ample, has_new_key);
  REQUIRE(slave);
  old_line.reset();
  CHECK(slave->execute({"true"}).ok());
  CHECK(has(master.log.text(), "the key in '" + file + "' is now " + slave->info().key_id));
}

TEST_CASE("if a key file cannot be read again the key of before counts, and the log says why") {
  KeyedMaster master;
  const std::string file = master.dir / "w1.key";
  const Secret key = make_key();
  const auto line = master.keys.register_slave("w1", key);
  write_key_file(file, line_of(key));
  SlaveOptions options = master.options(std::nullopt, "w1");
  options.key_file = file;
  SlaveThread thread(options, [&](SlaveServer& server) { return server.run(master.listener->address()); });
  for (const std::string& text : {std::string("w1 no-key\n"), line_of(make_key(), "w2")}) {
    CAPTURE(text);
    const auto slave = master.slaves.get_slave(ample);
    REQUIRE(slave);
    write_key_file(file, text);
    slave->disconnect("again");
    REQUIRE(eventually([&] { return !slave->is_connected(); }));
  }
  CHECK(master.slaves.get_slave(ample, [](const Slave& s) { return s.is_connected(); }));
  CHECK(has(master.log.text(), "that was read before still counts"));
  CHECK(has(master.log.text(), "is that of 'w2', and this slave is 'w1'"));
}

TEST_CASE("a key file that cannot be read at first, or is another slave's, is an error") {
  KeyedMaster master;
  SlaveOptions options = master.options(std::nullopt, "w1");
  options.key_file = master.dir / "w1.key";
  CHECK_THROWS_AS(SlaveServer(options).run(master.listener->address()), Error);
  write_key_file(options.key_file, line_of(make_key(), "w2"));
  const auto error = thrown_by<Error>([&] { SlaveServer(options).run(master.listener->address()); });
  REQUIRE(error);
  CHECK(error->code() == Errc::invalid_argument);
  CHECK(has(error->message(), "is that of 'w2'"));
}

TEST_CASE("where one side alone has TLS nobody comes in, and both logs say that it is about TLS") {
  for (const char* address : {"tcp:127.0.0.1:0", "tls:127.0.0.1:0"}) {
    CAPTURE(address);
    KeyedMaster master(address);
    const Secret key = make_key();
    const auto registered = master.keys.register_slave("w1", key);
    SlaveServer server(master.options(key));
    const ServeResult result = server.run_once(master.with_other_transport());
    CHECK_FALSE(result.registered);
    CHECK(has(result.message, "TLS"));
    CHECK(master.log.wait_for("TLS"));
  }
}

TEST_CASE("a slave with a key serves no master that does not prove it, on whatever it comes") {
  for (const bool with_mac : {false, true}) {
    CAPTURE(with_mac);
    const TempDir dir;
    auto [ours, theirs] = memory_pair();
    SlaveThread slave({.name = "w1", .basedir = dir / "w1", .key = make_key()},
                      [shared = std::make_shared<std::unique_ptr<Transport>>(std::move(theirs))](SlaveServer& server) {
                        return server.serve(std::move(*shared));
                      });
    const auto connection = welcome_by_hand(std::move(ours), with_mac);
    const ServeResult result = slave.result();
    CHECK(result.reason == Reason::refused);
    CHECK_FALSE(result.registered);
    CHECK(has(result.message, with_mac ? "not our master" : "proves nothing"));
  }
}

TEST_CASE("an invitation is changed for a key once, by which the slave then comes") {
  KeyedMaster master;
  const TempDir dir;
  const Secret token = make_key();
  {
    std::ofstream file(dir / "slaves.keys");
    file << "w1 " << token.to_base64() << " invite expires=2100-01-01T00:00:00Z\n";
  }
  ::chmod((dir / "slaves.keys").c_str(), 0600);
  KeyFile keys(dir / "slaves.keys");
  TcpListenerOptions options{.slave_collection = master.slaves, .address = "tls:127.0.0.1:0"};
  options.keys = keys;
  options.log = master.log.hook();
  TcpSlaveListener listener(std::move(options));
  listener.start();

  const Secret key = enrol(listener.address(), "w1", token, {}, ample);
  CHECK_THROWS_AS(enrol(listener.address(), "w1", token, {}, ample), AuthError);
  SlaveThread thread(master.options(key), [&](SlaveServer& server) { return server.run_once(listener.address()); });
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->execute({"true"}).ok());
}

TEST_CASE("a password is registered as a key is, and counts for no slave of remsh") {
  for (const char* address : {"tcp:127.0.0.1:0", "tls:127.0.0.1:0"}) {
    CAPTURE(address);
    KeyedMaster master(address);
    const KeyRegistration b1 = master.keys.register_password("b1", "correct horse", {.labels = {{"rack", "b7"}}});
    CHECK(b1);
    CHECK(b1.name() == "b1");
    CHECK(b1.key_id().size() == 8);
    const ServeResult result = master.come(make_key(), "b1");
    CHECK(result.reason == Reason::refused);
    CHECK_FALSE(result.registered);
    CHECK(master.log.wait_for(b1.key_id()));  // the name has that one
    CHECK_FALSE(has(master.log.text(), "horse"));
    CHECK(master.slaves.size() == 0);
  }
}

TEST_CASE("a name that has a password is not for slaves without a key, until the password ends") {
  KeyedMaster master("tcp:127.0.0.1:0", true);
  KeyRegistration b1 = master.keys.register_password("b1", "correct horse");
  SlaveOptions options = master.options(std::nullopt, "b1");
  options.keyless = true;
  SlaveServer refused(options);
  CHECK(refused.run_once(master.listener->address()).reason == Reason::refused);
  b1.drop();
  SlaveThread admitted(options, [&](SlaveServer& server) { return server.run_once(master.listener->address()); });
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);

  const auto again = master.keys.register_password("b1", "correct horse");  // whoever proves nothing has to go
  CHECK(admitted.result().reason != Reason::refused);
  CHECK(eventually([&] { return !slave->is_connected(); }));
}

TEST_CASE("a worker with a password that is not there is missing") {
  KeyRing keys;
  const auto b1 = keys.register_password("b1", "correct horse");
  SlaveCollection slaves({.missing_timeout = 1ms});
  TcpSlaveListener listener({.slave_collection = slaves, .keys = keys});
  listener.start();
  CHECK(eventually([&] {
    const auto missing = slaves.missing();
    return missing.size() == 1 && missing[0].name == "b1";
  }));
}

TEST_CASE("a registration changes its password, and becomes one of a key and back") {
  KeyedMaster master;
  KeyRegistration w1 = master.keys.register_password("w1", "correct horse");
  const std::string id = w1.key_id();
  w1.update_password("battery staple");
  CHECK(w1.key_id() != id);
  w1.update(KeyTerms{.labels = {{"rack", "b7"}}});
  w1.update_password("correct horse");
  CHECK(w1.key_id() == id);

  const Secret key = make_key();
  w1.update(key);
  SlaveThread thread(master.options(key),
                     [&](SlaveServer& server) { return server.run_once(master.listener->address()); });
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->info().key_id == w1.key_id());
  CHECK(slave->label("rack") == "b7");
  w1.update_password("correct horse");  // ends the key, and so the connection
  CHECK(eventually([&] { return !slave->is_connected(); }));
  CHECK(thread.result().registered);
}

TEST_CASE("a call for a password that breaks a rule throws, and shows no password") {
  KeyRing keys;
  auto b1 = keys.register_password("b1", "correct horse");
  const auto refused = [](auto&& call) {
    const auto error = thrown_by<Error>(call);
    REQUIRE(error);
    CHECK_FALSE(has(error->what(), "horse"));
    return error->code();
  };
  CHECK(refused([&] { static_cast<void>(keys.register_password("b1", "correct horse")); }) == Errc::in_use);
  CHECK(refused([&] { static_cast<void>(keys.register_password("b2", "")); }) == Errc::invalid_argument);
  CHECK(refused([&] { static_cast<void>(keys.register_password("b 2", "horse")); }) == Errc::invalid_argument);
  KeyTerms invitation{.expires = std::chrono::system_clock::now() + 1h, .is_invitation = true};
  CHECK(refused([&] { static_cast<void>(keys.register_password("b2", "horse", invitation)); }) ==
        Errc::invalid_argument);
  CHECK(refused([&] { b1.update(invitation); }) == Errc::invalid_argument);
  CHECK(refused([&] { b1.update_password(std::string(257, 'x')); }) == Errc::invalid_argument);
  const auto other = keys.register_password("b2", "correct horse");
  CHECK(other.key_id() != b1.key_id());
  b1.drop();
  CHECK(refused([&] { b1.update_password("horse"); }) == Errc::invalid_argument);
}

TEST_CASE("a slave cannot come with the file of a password, which says what to do instead") {
  KeyedMaster master;
  SlaveOptions options = master.options(std::nullopt, "w1");
  options.key_file = master.dir / "w1.key";
  write_key_file(options.key_file, "w1 password=horse\n");
  const auto error = thrown_by<Error>([&] { SlaveServer(options).run(master.listener->address()); });
  REQUIRE(error);
  CHECK(has(error->message(), "'remsh-slave keygen add NAME' prints"));
  CHECK_FALSE(has(error->message(), "horse"));
}

TEST_CASE("no name has a meaning of its own, not even those that had one in Buildbot") {
  Farm farm(Over::tcp);
  for (const char* name : {"change", "debug", "statusClient"}) {
    const auto slave = farm.start(name);
    REQUIRE(slave);
    CHECK(slave->name() == name);
    CHECK(slave->execute({"true"}).ok());
  }
}

}  // namespace remsh::test
