// What a master can learn of a slave, and say into its log: operations, host_facts, print.
#include "support/played_slave.hpp"
#include "support/slaves.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <string>

namespace remsh::test {

using namespace std::chrono_literals;

TEST_CASE("operations lists what a slave can be asked for, built in and of its owner's own") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    const auto names = slave.operations();
    CHECK(std::is_sorted(names.begin(), names.end()));
    const std::set<std::string> all(names.begin(), names.end());
    for (const char* name :
         {"set_cwd", "getenv", "info", "mkdir", "remove", "rename", "copy", "stat", "list", "execute", "send", "fetch",
          "print", "log_tail", "operations", "host_facts", "ping", "echo", "where"}) {
      CAPTURE(name);
      CHECK(all.contains(name));
    }
    CHECK_FALSE(all.contains("unknown"));
    const auto error = thrown_by<RemoteError>([&] { slave.call("unknown"); });
    REQUIRE(error);
    CHECK(error->code() == Errc::unsupported);
    CHECK(error->message().find("'unknown'") != std::string::npos);
    CHECK(slave.start_operations().wait() == names);
    CHECK(slave.workspace("job")->operations() == names);
  });
}

TEST_CASE("a slave may claim any time") {
  Farm farm(Over::tcp);
  const auto connection = register_by_hand(socket_transport(connect_to_port(farm.port()), "a test"), "worker");
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  for (const char* clock : {"-9223372036854775808", "9223372036854775807"}) {
    auto facts = slave->start_host_facts();
    const auto call = connection->read_box(ample);
    REQUIRE(call);
    connection->send_box({{"_answer", *call->get("_ask")}, {"clock", clock}, {"cpus", "1"}});
    CHECK(std::chrono::abs(facts.wait().clock_ahead) > std::chrono::hours(24 * 365));
  }
}

TEST_CASE("host_facts tells what the machine is, how it is now, and how far its clock is ahead") {
  on_every_transport(BeyondRemsh1::info, [](Farm&, Slave& slave) {
    const HostFacts facts = slave.host_facts();
    CHECK(facts.cpus >= 1);
    CHECK_FALSE(facts.machine.empty());
    CHECK_FALSE(facts.release.empty());
    CHECK(facts.hostname == slave.info().hostname);
    CHECK(facts.software == slave.info().software);
    CHECK(facts.memory_available <= facts.memory_total);
    REQUIRE(facts.disk_total);
    CHECK(facts.disk_free <= facts.disk_total);
    CHECK(facts.round_trip > 0ns);
    CHECK(std::chrono::abs(facts.clock_ahead) <= facts.round_trip);  // both clocks are one
    const HostFacts later = slave.start_host_facts().wait();
    CHECK(later.clock > facts.clock);
    CHECK(later.uptime > facts.uptime);
  });
}

TEST_CASE("print returns when the line is in the slave's log") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  slave->print("build 17 begins\n\x1b[2J");
  CHECK(farm.log.text().find("the master says: build 17 begins\\x0A\\x1B[2J\n") != std::string::npos);
  slave->start_print("build 17 ends").wait();
  CHECK(farm.log.text().find("the master says: build 17 ends\n") != std::string::npos);
}

TEST_CASE("log_tail returns the last lines of a slave's log") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    for (const char* message : {"one", "two\n\x1b", "three"}) slave.print(message);
    const auto lines = slave.log_tail(2);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].find(": two\\") != std::string::npos);
    CHECK(lines[1].ends_with("the master says: three"));
    CHECK(slave.log_tail().size() >= 3);
    CHECK(slave.start_log_tail(1).wait().at(0) == lines[1]);
    CHECK(slave.workspace("job")->log_tail(1).at(0) == lines[1]);
    for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{1001}}) {
      const auto error = thrown_by<Error>([&] { slave.log_tail(count); });
      REQUIRE(error);
      CHECK(error->code() == Errc::invalid_argument);
    }
    slave.print(Bytes(2'000'000, 'x'));
    CHECK(slave.log_tail(1000).size() >= 4);
  });
}

TEST_CASE("no secret of a command is in the tail of the log") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  Command command = slave->start({"sleep", "100000"}, {.secrets = {"hunter2"}});
  CHECK(command.interrupt("hunter2 is too slow"));
  CHECK(command.wait().interrupted);
  Bytes all;
  for (const std::string& line : slave->log_tail()) all += line + "\n";
  CHECK(all.find(": *** is too slow\n") != Bytes::npos);
  CHECK(all.find("hunter2") == Bytes::npos);
}

TEST_CASE("report says all in one call, of the moment of the call") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    slave.mkdir("info");
    slave.send(Source::bytes("joe\n"), "info/admin");
    const SlaveReport report = slave.report();
    CHECK(report.host.software == slave.info().software);
    REQUIRE(report.host.disk_free);
    CHECK(report.operations == slave.operations());
    CHECK(report.info == std::map<Bytes, Bytes>{{"admin", "joe\n"}});
    std::ofstream(farm.basedir() + "/info/admin") << "eve\n";
    const SlaveReport later = slave.workspace("job")->report();
    CHECK(later.info.at("admin") == "eve\n");
    CHECK(later.host.clock > report.host.clock);
  });
}

TEST_CASE("a ping leaves a line in the slave's log") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  CHECK(farm.log.text().find("answered a ping") == std::string::npos);
  CHECK(slave->ping() > 0ns);
  CHECK(farm.log.wait_for("answered a ping"));
}

TEST_CASE("every slave takes a message for its log, also a long one") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    CHECK_NOTHROW(slave.print("hello"));
    CHECK_NOTHROW(slave.print(""));
    CHECK_NOTHROW(slave.workspace("job")->print(Bytes(100'000, 'x')));
  });
}

TEST_CASE("a slave that is beyond a limit of health is out of service, and what it is asked to do goes on") {
  const TempDir dir;
  const Event paused;
  SlaveCollection slaves({.health = {.min_disk_free = std::numeric_limits<std::uint64_t>::max(), .interval = 1ms}});
  const auto subscription = slaves.on_change([&](const SlaveNotice& notice) {
    if (notice.kind != SlaveNotice::paused) return;
    CHECK(notice.words.starts_with("free disk "));
    CHECK(notice.words.ends_with(", less than 17592186044415.9 MiB"));
    paused.happened();
  });
  TcpSlaveListener listener({.slave_collection = slaves, .keyless = true});
  listener.start();
  SlaveThread thread({.name = "w1", .basedir = dir / "w1", .keyless = true},
                     [&](SlaveServer& server) { return server.run_once(listener.address()); });
  REQUIRE(paused.wait());
  CHECK(slaves.get_slave(no_wait) == nullptr);
  CHECK(slaves.snapshot().at(0).unwell.starts_with("free disk "));
  const auto slave = slaves.find("w1");
  REQUIRE(slave);
  CHECK(slave->execute({"echo", "hello"}).out == "hello\n");
}

TEST_CASE("a slave that is within all limits of health stays in service, however often it is asked") {
  const TempDir dir;
  std::atomic<int> questions = 0;
  const Event asked_often;
  SlaveCollection slaves({.health = {.min_disk_free = 1,
                                     .min_memory_available = 1,
                                     .max_load_per_cpu = 100'000,
                                     .max_round_trip = 1h,
                                     .max_clock_skew = 1h,
                                     .interval = 1ms}});
  TcpSlaveListener listener({.slave_collection = slaves, .keyless = true, .audit = [&](const AuditRecord& record) {
                               if (record.tag == "health" && ++questions == 20) asked_often.happened();
                             }});
  listener.start();
  SlaveThread thread({.name = "w1", .basedir = dir / "w1", .keyless = true},
                     [&](SlaveServer& server) { return server.run_once(listener.address()); });
  CHECK(asked_often.wait());
  CHECK(slaves.snapshot().at(0).unwell.empty());
  const auto slave = slaves.get_slave(no_wait);
  REQUIRE(slave);
  CHECK(slave->execute({"echo", "hello"}).out == "hello\n");
}

}  // namespace remsh::test
