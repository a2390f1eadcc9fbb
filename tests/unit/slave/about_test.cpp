// The operations that say what a slave is, and that write into its log: print, operations, host_facts.
#include "slave/about.hpp"

#include "base/clock.hpp"
#include "operations/operations.hpp"
#include "slave/host_facts.hpp"
#include "slave/resident.hpp"
#include "support/fake_served_call.hpp"
#include "support/log.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <remsh/slave/operation_context.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using namespace std::string_literals;
using remsh::test::FakeServedCall;
using remsh::test::Log;
using remsh::test::TempDir;

namespace {

/// A session of a slave with one operation of its owner's.
class ServedAbout {
 public:
  explicit ServedAbout(SlavePolicy policy = {}, std::string software = {})
      : options_{.name = "w1",
                 .basedir = dir_.path(),
                 .policy = std::move(policy),
                 .software = std::move(software),
                 .log = log_.hook()} {
    resident_.add_operation("own", [](OperationContext&) { return Box(); });
    session_ = resident_.begin_session(resident_.open_workplace(), "tls:master:1");
  }
  ~ServedAbout() { Resident::end_session(std::move(session_)); }
  ServedAbout(const ServedAbout&) = delete;
  ServedAbout& operator=(const ServedAbout&) = delete;

  template <class Operation>
  Result<typename Operation::Reply> ask(const typename Operation::Request& request = {}) {
    const auto call = std::make_shared<FakeServedCall>(std::string(Operation::what.name), to_box(request));
    session_.dispatcher->dispatch(call);
    const auto outcome = call->outcome();
    if (!outcome) return outcome.failure();
    return from_box<typename Operation::Reply>(*outcome);
  }

  /// Begins another session, of a slave whose log has this ring.
  void begin_with(std::shared_ptr<const LogRing> ring) {
    Resident::end_session(std::move(session_));
    resident_.set_log_ring(std::move(ring));
    session_ = resident_.begin_session(resident_.open_workplace(), "tls:master:1");
  }

  std::string printed(const Bytes& message) {
    const std::string before = log_.text();
    CHECK(ask<Print>({message}));
    return log_.text().substr(before.size());
  }

 private:
  TempDir dir_;
  Log log_;
  SlaveOptions options_;
  Resident resident_{options_, real_clock()};
  ServedSession session_;
};

}  // namespace

TEST_CASE("print writes one line into the slave's log, whatever is in the message") {
  ServedAbout slave;
  CHECK(slave.printed("build 17 begins") == "slave tls:master:1: the master says: build 17 begins\n");
  CHECK(slave.printed("") == "slave tls:master:1: the master says: \n");
  const std::string line = slave.printed("a\n2026-11-29 slave w1: registered\r\x1b[2J\0\xff\u202e\u00e4"s);
  CHECK(line ==
        "slave tls:master:1: the master says: a\\x0A2026-11-29 slave w1: registered\\x0D\\x1B[2J\\x00\\xFF"
        "\\xE2\\x80\\xAE\u00e4\n");
}

TEST_CASE("print leaves out what is beyond 4096 bytes, and says how much that is") {
  ServedAbout slave;
  CHECK(slave.printed(Bytes(4096, 'x')) == "slave tls:master:1: the master says: " + Bytes(4096, 'x') + "\n");
  CHECK(slave.printed(Bytes(4096, 'x') + "123") ==
        "slave tls:master:1: the master says: " + Bytes(4096, 'x') + "... and 3 bytes more\n");
}

TEST_CASE("log_tail has the last lines of the slave's ring, and a slave without one has none") {
  ServedAbout slave;
  CHECK(slave.ask<LogTail>({5})->lines.empty());
  const auto ring = std::make_shared<LogRing>();
  for (const char* message : {"one", "two", "three"}) ring->add({LogLevel::info, "slave", "", message});
  slave.begin_with(ring);
  const auto reply = slave.ask<LogTail>({2});
  REQUIRE(reply);
  REQUIRE(reply->lines.size() == 2);
  CHECK(reply->lines[0].ends_with("two"));
  CHECK(reply->lines[1].ends_with("three"));
  for (const std::uint64_t lines : {std::uint64_t{0}, std::uint64_t{1001}}) {
    const auto refused = slave.ask<LogTail>({lines});
    REQUIRE_FALSE(refused);
    CHECK(refused.failure().code == Errc::invalid_argument);
  }
}

TEST_CASE("operations are those of the library and of the owner that the policy allows, and ping") {
  const std::vector<Bytes> all{
      "copy",     "execute",   "fetch",        "fetch_tree", "getenv",   "host_facts", "info",   "interrupt", "list",
      "log_tail", "mkdir",     "operations",   "own",        "ping",     "print",      "remove", "rename",    "resize",
      "send",     "send_tree", "set_builders", "set_cwd",    "shutdown", "signal",     "stat"};
  CHECK(ServedAbout().ask<ListOperations>()->names == all);
  const std::vector<Bytes> some{"operations", "own", "ping", "stat"};
  CHECK(ServedAbout({.allow = std::vector<std::string>{"stat", "own", "operations"}}).ask<ListOperations>()->names ==
        some);
  auto without_commands = all;
  for (const char* name : {"execute", "interrupt", "resize", "signal"}) std::erase(without_commands, name);
  CHECK(ServedAbout({.no_execute = true}).ask<ListOperations>()->names == without_commands);
}

TEST_CASE("an operation that a slave does not have is named in the error") {
  ServedAbout slave({.allow = std::vector<std::string>{"stat"}});
  const auto forbidden = slave.ask<ListOperations>();
  REQUIRE_FALSE(forbidden);
  CHECK(forbidden.failure().os == EPERM);
  CHECK(forbidden.failure().message.find("'operations'") != std::string::npos);
}

TEST_CASE("the facts of this host make sense, and are those of the moment") {
  ServedAbout slave({}, "my slave 7");
  const auto before = std::chrono::system_clock::now();
  const auto reply = slave.ask<ReadHostFacts>();
  REQUIRE(reply);
  const HostFacts& facts = reply->facts;
  CHECK(facts.clock >= before);
  CHECK(facts.clock <= std::chrono::system_clock::now());
  CHECK(facts.cpus >= 1);
  CHECK(facts.software == "my slave 7");
  CHECK_FALSE(facts.machine.empty());
  CHECK_FALSE(facts.release.empty());
  REQUIRE(facts.disk_total);
  REQUIRE(facts.disk_free);
  CHECK(*facts.disk_free <= *facts.disk_total);
  REQUIRE(facts.uptime);
  CHECK(slave.ask<ReadHostFacts>()->facts.uptime > facts.uptime);
  CHECK(slave.ask<ReadHostFacts>()->facts.clock > facts.clock);
}

TEST_CASE("memory is read from /proc/meminfo, and what is not there or malformed stays unknown") {
  HostFacts facts;
  take_memory_from(
      "MemTotal:       16384256 kB\nMemFree:         100 kB\nMemAvailable:    8192000 kB\nSwapTotal:  0 kB\n"
      "SwapFree: many kB\nHugePages_Total:       0\n",
      facts);
  CHECK(facts.memory_total == 16384256ULL * 1024);
  CHECK(facts.memory_available == 8192000ULL * 1024);
  CHECK(facts.swap_total == 0U);
  CHECK_FALSE(facts.swap_free);
  HostFacts none;
  for (const char* text : {"", "MemTotal:", "MemTotal: kB", "MemTotal: 18446744073709551615 kB", "MemTotal: 1 MB\n"}) {
    take_memory_from(text, none);
  }
  CHECK_FALSE(none.memory_total);
}

TEST_CASE("the load is read from /proc/loadavg, in hundredths") {
  HostFacts facts;
  take_load_from("0.52 1.08 12.00 1/123 4567\n", facts);
  CHECK(facts.load1 == 52U);
  CHECK(facts.load5 == 108U);
  CHECK(facts.load15 == 1200U);
  HostFacts none;
  for (const char* text : {"", "1 2 3", "0.5 0.5 0.5", "x.00 -1.00 .", "0.5a 0.555 99999999.00"}) {
    take_load_from(text, none);
    CHECK_FALSE(none.load1);
    CHECK_FALSE(none.load5);
    CHECK_FALSE(none.load15);
  }
}

TEST_CASE("the name of the distribution is in os-release, with or without quotes") {
  CHECK(os_name_from("NAME=\"x\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n") ==
        "Debian GNU/Linux 12 (bookworm)");
  CHECK(os_name_from("PRETTY_NAME='Arch Linux'") == "Arch Linux");
  CHECK(os_name_from("PRETTY_NAME=Plain") == "Plain");
  CHECK(os_name_from("PRETTY_NAME=\"").size() == 1);
  CHECK(os_name_from("").empty());
  CHECK(os_name_from("PRETTY_NAME=" + std::string(300, 'x')).size() == 255);
}
