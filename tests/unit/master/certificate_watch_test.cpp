// Tests of CertificateWatch: by itself, and in a listener whose slaves read their CA.
#include "master/certificate_watch.hpp"

#include "support/has.hpp"
#include "support/later.hpp"
#include "support/slaves.hpp"
#include "support/temp_dir.hpp"
#include "support/tls.hpp"

#include <doctest/doctest.h>
#include <remsh/auth/key_ring.hpp>
#include <remsh/master/tcp_slave_listener.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A server whose certificate is in two files. One thread at a time.
class WatchedCertificate {
 public:
  WatchedCertificate() {
    put(make_certificate("DNS:one.example"));
    server = *TlsServer::create({}, identity());
    watch = std::make_unique<CertificateWatch>(server, identity());
    CHECK(look().empty());
  }

  [[nodiscard]] TlsIdentity identity() const { return {dir / "certificate.pem", dir / "key.pem"}; }
  void put(const Certificate& made) const {
    dir.write("certificate.pem", made.certificate);
    dir.write("key.pem", made.key);
  }

  /// What a look tells; empty: nothing.
  [[nodiscard]] std::string look(std::chrono::system_clock::time_point now = later()) const {
    std::string text;
    for (const LogRecord& record : watch->look(now)) text += record.message + "\n";
    return text;
  }

  const TempDir dir;
  std::shared_ptr<TlsServer> server;
  std::unique_ptr<CertificateWatch> watch;
};

}  // namespace

TEST_CASE("a certificate that was renewed is taken over, and told once") {
  const WatchedCertificate watched;
  const auto before = watched.server->context();
  CHECK(watched.look().empty());
  CHECK(watched.server->context() == before);
  watched.put(make_certificate("DNS:another.example"));
  CHECK(has(watched.look(), "read anew from '" + watched.identity().certificate + "'"));
  CHECK(watched.server->context() != before);
  CHECK(watched.look().empty());
}

TEST_CASE("one that is replaced by a rename, or behind a symbolic link, is seen as well") {
  const WatchedCertificate watched;
  const Certificate next = make_certificate("DNS:another.example");
  watched.dir.write("new", next.certificate + next.key);
  std::filesystem::rename(watched.dir / "new", watched.identity().certificate);
  watched.dir.write("new", next.key);
  std::filesystem::rename(watched.dir / "new", watched.identity().key);
  CHECK(has(watched.look(), "read anew"));

  const Certificate third = make_certificate("DNS:three.example");
  watched.dir.write("third.pem", third.certificate);
  std::filesystem::remove(watched.identity().certificate);
  std::filesystem::create_symlink("third.pem", watched.identity().certificate);
  watched.dir.write("key.pem", third.key);
  CHECK(has(watched.look(), "read anew"));
}

TEST_CASE("a pair that does not fit, is not complete or is gone changes nothing, and is told once") {
  const WatchedCertificate watched;
  const auto before = watched.server->context();
  const Certificate next = make_certificate("DNS:another.example");
  watched.dir.write("certificate.pem", next.certificate);  // and not yet the key
  CHECK(has(watched.look(), "is not that of the certificate"));
  CHECK(watched.look().empty());
  watched.dir.write("certificate.pem", next.certificate.substr(0, 60));
  CHECK(has(watched.look(), "no certificate in"));
  CHECK(watched.look().empty());
  std::filesystem::remove(watched.identity().certificate);
  CHECK(has(watched.look(), "No such file"));
  CHECK(watched.look().empty());
  CHECK(watched.server->context() == before);
  watched.put(next);
  CHECK(has(watched.look(), "read anew"));
  CHECK(watched.server->context() != before);
}

TEST_CASE("one that is good again and the same is told, and connections keep what they have") {
  const WatchedCertificate watched;
  const auto before = watched.server->context();
  const std::string text = watched.dir.read("key.pem");
  watched.dir.write("key.pem", "");
  CHECK(has(watched.look(), "no private key"));
  watched.dir.write("key.pem", text);
  CHECK(has(watched.look(), "good again"));
  CHECK(watched.server->context() == before);
}

TEST_CASE("files that may be half written are left to the next look") {
  const WatchedCertificate watched;
  watched.dir.write("certificate.pem", "half of it");
  struct stat what {};
  REQUIRE(::stat(watched.identity().certificate.c_str(), &what) == 0);
  const std::chrono::system_clock::time_point written{std::chrono::nanoseconds(stamp_of(what).modified)};
  CHECK(watched.look(written + 50ms).empty());
  CHECK(has(watched.look(written + 550ms), "no certificate in"));
}

TEST_CASE("of PEM texts there is nothing to watch") {
  const Certificate made = make_certificate("DNS:one.example");
  const TlsIdentity texts{made.certificate, made.key};
  CHECK_FALSE(CertificateWatch(*TlsServer::create({}, texts), texts).has_files());
}

TEST_CASE("master and slaves take a new certificate and a new CA without being started again") {
  const TempDir dir;
  const auto put = [&dir](const Certificate& ca) {
    const Certificate own = make_certificate("IP:127.0.0.1", &ca);
    dir.write("ca.pem", ca.certificate);
    dir.write("own.pem", own.certificate + own.key);
  };
  put(make_certificate(""));
  const Log log;
  KeyRing keys;
  const Secret key = make_key();
  const auto registered = keys.register_slave("w1", key);
  SlaveCollection slaves;
  TcpListenerOptions options{.slave_collection = slaves, .address = "tls:127.0.0.1:0"};
  options.keys = keys;
  options.certificate = TlsIdentity{dir / "own.pem"};
  options.log = log.hook();
  TcpSlaveListener listener(std::move(options));
  listener.start();
  SlaveOptions slave_options{.name = "w1", .basedir = dir / "w1", .key = key, .tls = {.ca = dir / "ca.pem"}};
  slave_options.back_off_max = 10ms;
  slave_options.log = log.hook();
  SlaveThread thread(std::move(slave_options), [&](SlaveServer& server) { return server.run(listener.address()); });
  const auto first = slaves.get_slave(ample);
  REQUIRE(first);

  dir.write("ca.pem", "");  // what it finds while this is written is no reason to end
  put(make_certificate(""));
  REQUIRE(log.wait_for("the certificate was read anew"));
  CHECK(first->execute({"true"}).ok());  // what is there stays
  first->disconnect();
  const auto second = slaves.get_slave(ample, [&first](const Slave& slave) { return &slave != first.get(); });
  REQUIRE(second);
  CHECK(second->execute({"true"}).ok());
}

TEST_CASE("a slave outlives a CA that it cannot read for a while") {
  const TempDir dir;
  const Certificate ca = make_certificate("");
  const Certificate own = make_certificate("IP:127.0.0.1", &ca);
  dir.write("ca.pem", ca.certificate);
  const Log log;
  KeyRing keys;
  const Secret key = make_key();
  const auto registered = keys.register_slave("w1", key);
  SlaveCollection slaves;
  TcpListenerOptions options{.slave_collection = slaves, .address = "tls:127.0.0.1:0"};
  options.keys = keys;
  options.certificate = TlsIdentity{own.certificate, own.key};
  TcpSlaveListener listener(std::move(options));
  listener.start();
  SlaveOptions slave_options{.name = "w1", .basedir = dir / "w1", .key = key, .tls = {.ca = dir / "ca.pem"}};
  slave_options.back_off_max = 10ms;
  slave_options.log = log.hook();
  SlaveThread thread(std::move(slave_options), [&](SlaveServer& server) { return server.run(listener.address()); });
  const auto first = slaves.get_slave(ample);
  REQUIRE(first);
  dir.write("ca.pem", "");
  first->disconnect();
  REQUIRE(log.wait_for("no certificate in"));
  dir.write("ca.pem", ca.certificate);
  CHECK(slaves.get_slave(ample, [&first](const Slave& slave) { return &slave != first.get(); }));
}

}  // namespace remsh::test
