// Slaves on Twisted that have keys, at our listener: who does not get in, and which master is not taken.
#include "support/slaves.hpp"
#include "twisted/twisted_slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/auth/key_ring.hpp>

#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <string>
#include <utility>

namespace remsh::test {

namespace {

/// A listener and a process with slaves. One thread at a time.
class KeyedMaster {
 public:
  explicit KeyedMaster(const std::string& certificate = TwistedSlaves::certificate()) {
    TcpListenerOptions options = for_twisted_slaves(slaves, keys);
    if (options.certificate) options.certificate->certificate = certificate;
    options.log = log.hook();
    listener.emplace(std::move(options));
    listener->start();
  }

  void call_in(const std::string& name, const std::string& more) {
    twisted.call_in(listener->address(), name, dir / name, more);
  }

  /// What a slave says at its end who is not let in, or does not want to.
  std::string come(const std::string& name, const std::string& more) {
    call_in(name, more);
    const std::string end = twisted.next_end();
    CHECK(slaves.size() == 0);
    return end;
  }

  const TempDir dir;
  const Log log;
  KeyRing keys;
  SlaveCollection slaves;
  TwistedSlaves twisted;
  std::optional<TcpSlaveListener> listener;
};

}  // namespace

TEST_CASE("an unknown name, an unknown key id and a wrong key get the one failure") {
  KeyedMaster master;
  const Secret key = make_key();
  const auto registered = master.keys.register_slave("w1", key);
  master.call_in("w1", key.to_base64());
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  const std::string kid = slave->info().key_id;
  slave->disconnect("that was all");
  CHECK(master.twisted.next_end() == "w1 that was all");
  REQUIRE(eventually([&] { return master.slaves.size() == 0; }));

  CHECK(master.come("w2", key.to_base64()) == "w2 authentication failed");
  CHECK(master.come("w1", make_key().to_base64()) == "w1 authentication failed");
  CHECK(master.come("w1", make_key().to_base64() + ' ' + kid) == "w1 authentication failed");
  CHECK(master.come("w1", "") == "w1 authentication failed");
}

TEST_CASE("a slave with a key does not let a master in that lets it in without" *
          doctest::skip(TwistedSlaves::over() != "key")) {
  SlaveCollection slaves;
  TcpSlaveListener keyless({.slave_collection = slaves, .keyless = true});
  keyless.start();
  const TempDir dir;
  TwistedSlaves twisted;
  twisted.call_in(keyless.address(), "w1", dir / "w1", make_key().to_base64());
  CHECK(twisted.next_end() == "w1 authentication failed");
  CHECK(slaves.size() == 0);
}

TEST_CASE("an invitation is changed for a key once, by which the slave then comes" *
          doctest::skip(TwistedSlaves::over() != "tls")) {
  const TempDir dir;
  const Secret token = make_key();
  {
    std::ofstream file(dir / "slaves.keys");
    file << "w1 " << token.to_base64() << " invite expires=2100-01-01T00:00:00Z\n";
  }
  ::chmod((dir / "slaves.keys").c_str(), 0600);
  SlaveCollection slaves;
  TcpSlaveListener listener(for_twisted_slaves(slaves, KeyFile(dir / "slaves.keys")));
  listener.start();
  TwistedSlaves twisted;
  twisted.call_in(listener.address(), "w1", dir / "w1", "token:" + token.to_base64());
  const auto slave = slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->execute({"true"}).ok());
  twisted.call_in(listener.address(), "w1", dir / "w1", "token:" + token.to_base64());
  CHECK(twisted.next_end() == "w1 authentication failed");
}

TEST_CASE("with TLS, a certificate by somebody else or for another name ends it before the handshake" *
          doctest::skip(TwistedSlaves::over() != "tls")) {
  const Secret key = make_key();
  {
    KeyedMaster master(TwistedSlaves::other_certificate());
    const auto registered = master.keys.register_slave("w1", key);
    CHECK(master.come("w1", key.to_base64()).find("certificate verify failed") != std::string::npos);
  }
  KeyedMaster master;
  const auto registered = master.keys.register_slave("w1", key);
  CHECK(master.come("w1", key.to_base64() + " - 127.0.0.2").find("VerificationError") != std::string::npos);
  CHECK(master.come("w1", key.to_base64() + " - elsewhere").find("VerificationError") != std::string::npos);
  master.call_in("w1", key.to_base64() + " - 127.0.0.1");
  CHECK(master.slaves.get_slave(ample));
}

}  // namespace remsh::test
