// What a master can learn of a slave, and say into its log: operations, host_facts, print.
#include "support/slaves.hpp"

#include <algorithm>
#include <chrono>
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
          "print", "operations", "host_facts", "ping", "echo", "where"}) {
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

TEST_CASE("every slave takes a message for its log, also a long one") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    CHECK_NOTHROW(slave.print("hello"));
    CHECK_NOTHROW(slave.print(""));
    CHECK_NOTHROW(slave.workspace("job")->print(Bytes(100'000, 'x')));
  });
}

}  // namespace remsh::test
