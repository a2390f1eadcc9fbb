// Buildbot's own workers as slaves: how they come, and how they leave. The workers are those of the system's package,
// unmodified.
#include "support/buildbot_office.hpp"
#include "support/has.hpp"
#include "support/thrown.hpp"

#include <doctest/doctest.h>

#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;

TEST_CASE("a worker of Buildbot registers with its password, and says what it is") {
  with_a_worker([](OneWorker& one) {
    const SlaveInfo& info = one.slave->info();
    CHECK(info.name == "b1");
    CHECK(info.protocol.starts_with("buildbot-"));
    CHECK(info.software.starts_with("buildbot-worker 3."));
    CHECK(info.basedir == one.worker.base());
    CHECK(info.system == "posix");
    CHECK(info.key_id == one.b1.key_id());
    CHECK(info.labels == std::map<std::string, std::string>{{"os", "linux"}});
    CHECK(one.slave->read_info().at("admin") != "");
    CHECK(one.slave->read_info().contains("host"));
    CHECK(one.slave->getenv().contains("PATH"));
    one.slave->ping();
    one.slave->print("hello from the master");
    CHECK(eventually([&] { return one.worker.log().find("hello from the master") != std::string::npos; }));
    CHECK(one.log.text().find("pw1") == std::string::npos);
  });
}

TEST_CASE("a worker of Buildbot with a wrong password comes again until it has the right one") {
  with_both_protocols([](const std::string& protocol) {
    BuildbotOffice office;
    BuildbotWorker worker(protocol, office.listener.port(), {.password = "wrong"});
    CHECK(eventually([&] { return test::has(office.log.text(), "password is wrong"); }));
    CHECK(office.slaves.size() == 0);
    office.b1.update_password("wrong");
    CHECK(office.wait_for("b1")->execute({"true"}).ok());
    CHECK_FALSE(test::has(office.log.text(), "wrong'"));
  });
}

TEST_CASE("a worker of Buildbot is disconnected when its password ends, and no other one is") {
  with_both_protocols([](const std::string& protocol) {
    BuildbotOffice office;
    BuildbotWorker one(protocol, office.listener.port());
    BuildbotWorker two(protocol, office.listener.port(), {.name = "b2", .password = "pw2"});
    const auto b1 = office.wait_for("b1");
    const auto b2 = office.wait_for("b2");
    office.b1.drop();
    CHECK(eventually([&] { return !b1->is_connected(); }));
    CHECK(b2->is_connected());
    b2->ping();
  });
}

TEST_CASE("the second worker of Buildbot with a name waits until the first one has gone") {
  with_both_protocols([](const std::string& protocol) {
    OneWorker one(protocol);
    BuildbotWorker other(protocol, one.listener.port());
    CHECK(eventually([&] { return test::has(one.log.text(), "is connected"); }));
    one.slave->ping();
    one.worker.kill();
    CHECK(eventually([&] {
      const auto now = one.slaves.get_slave(no_wait);
      return now && now->info().basedir == other.base();
    }));
  });
}

TEST_CASE("a worker of Buildbot that was cut off comes again, and what it ran has ended") {
  with_both_protocols([](const std::string& protocol) {
    OneWorker one(protocol);
    Command command = one.slave->start({"sh", "-c", "echo $$ > pid; exec sleep 600"});
    CHECK(eventually([&] { return one.slave->stat("pid") && one.slave->stat("pid")->size > 0; }));
    std::ifstream file(one.worker.base() + "/pid");
    pid_t pid = 0;
    file >> pid;
    one.slave->disconnect("a test");
    CHECK_THROWS_AS(command.wait(), ConnectionLost);
    CHECK(eventually([&] {
      const auto again = one.slaves.get_slave(no_wait);
      return again && again != one.slave;
    }));
    CHECK(eventually([&] { return ::kill(pid, 0) != 0; }));
  });
}

TEST_CASE("shutdown ends the process of a worker of Buildbot, and what it runs") {
  with_both_protocols([](const std::string& protocol) {
    OneWorker one(protocol);
    Command command = one.slave->start({"sh", "-c", "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"},
                                       {.kill_after = 1500ms});
    CHECK(eventually([&] { return one.slave->stat("pid") && one.slave->stat("pid")->size > 0; }));
    std::ifstream file(one.worker.base() + "/pid");
    pid_t pid = 0;
    file >> pid;
    one.slave->shutdown({.within = 300ms});
    CHECK(one.worker.wait() == 0);
    CHECK(eventually([&] { return ::kill(pid, 0) != 0; }));
    CHECK(eventually([&] { return !one.slave->is_connected(); }));
    CHECK_THROWS_AS(command.wait(), ConnectionLost);
  });
}

TEST_CASE("workers of Buildbot and slaves of ours share a port") {
  with_both_protocols([](const std::string& protocol) {
    BuildbotOffice office;
    BuildbotWorker worker(protocol, office.listener.port());
    const Secret key = make_key();
    const auto ours = office.keys.register_slave("ours", key);
    CHECK(office.wait_for("b1")->execute({"echo", "1"}).out == "1\n");
    SlaveServer server({.name = "ours", .key = key});
    std::jthread runs([&] { server.run(office.listener.address()); });
    CHECK(office.wait_for("ours")->execute({"echo", "2"}).out == "2\n");
    CHECK(office.slaves.size() == 2);
    server.stop();
  });
}

TEST_CASE("a worker of Buildbot comes over TLS, by a certificate alone") {
  with_both_protocols([](const std::string& protocol) {
    const TempDir dir;
    const std::string make =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext "
        "subjectAltName=DNS:localhost -keyout '" +
        dir / "key.pem" + "' -out '" + dir / "server.pem" + "' 2>/dev/null";
    if (std::system(make.c_str()) != 0) return skip("the program openssl makes no certificate");
    SlaveCollection slaves;
    Log log;
    KeyRing keys;
    const auto b1 = keys.register_password("b1", "pw1");
    TcpSlaveListener listener({.slave_collection = slaves,
                               .address = "tls:127.0.0.1:0",
                               .keys = keys,
                               .certificate = TlsIdentity{dir / "server.pem", dir / "key.pem"},
                               .protocols = {SlaveProtocol::buildbot_pb(), SlaveProtocol::buildbot_msgpack()},
                               .log = log.hook()});
    listener.start();
    BuildbotWorker worker(protocol, listener.port(), {.trusted = dir / "server.pem"});
    const auto slave = slaves.get_slave(ample);
    REQUIRE_MESSAGE(slave, log.text(), worker.log());
    CHECK(slave->execute({"echo", "1"}).out == "1\n");
  });
}
