// Builders: named workspaces of a slave.
#include "support/slaves.hpp"

#include <algorithm>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

const std::vector<Bytes> endless{"sleep", "100000"};

}  // namespace

TEST_CASE("a slave has the builders that are set, each with a directory of its own") {
  on_every_transport(BeyondRemsh1::listing, [](Farm&, Slave& slave) {
    slave.mkdir("info");
    slave.mkdir("former");
    slave.execute({"touch", "a file"});
    const auto [builders, left_over] = slave.set_builders({{"linux-gcc", ""}, {"linux-clang", "clang/14"}});
    REQUIRE(builders.size() == 2);
    CHECK(builders[0]->name() == "linux-gcc");
    CHECK(builders[0]->path() == slave.set_cwd() + "/linux-gcc");
    CHECK(builders[1]->path() == slave.set_cwd() + "/clang/14");
    CHECK(left_over == std::vector<Bytes>{"former"});
    CHECK(slave.stat("former"));

    CHECK(builders[1]->execute({"sh", "-c", "pwd; echo made > file"}).ok());
    CHECK(slave.stat("clang/14/file"));
    CHECK_FALSE(builders[0]->stat("file"));
    CHECK(builders[0]->ping() > 0ns);
  });
}

TEST_CASE("another list adds and removes builders, and those that are in both go on") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    const auto first = slave.set_builders({{"kept", ""}, {"removed", ""}, {"moved", "old"}}).builders;
    Command kept = first[0]->start(endless);
    Command removed = first[1]->start(endless);
    Command moved = first[2]->start(endless);
    const auto [second, left_over] = slave.set_builders({{"kept", ""}, {"moved", "new"}, {"added", ""}});
    CHECK(removed.wait().interrupted);
    CHECK(moved.wait().interrupted);
    CHECK(kept.state() == CommandState::running);
    CHECK_FALSE(first[0]->is_removed());
    CHECK(first[1]->is_removed());
    CHECK(left_over == std::vector<Bytes>{"old", "removed"});
    const auto gone = thrown_by<Error>([&] { first[1]->ping(); });
    REQUIRE(gone);
    CHECK(gone->code() == Errc::invalid_argument);
    CHECK_THROWS_AS(first[1]->start_build("1")->execute({"true"}), Error);
    CHECK(second[1]->path() == slave.set_cwd() + "/new");
    CHECK(first[0]->interrupt_all() == 1);
    CHECK(kept.wait().interrupted);

    CHECK(slave.set_builders({}).builders.empty());
    CHECK(second[2]->is_removed());
  });
}

TEST_CASE("commands say to which builder and build they belong, and are interrupted with it") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    const auto builders = slave.set_builders({{"one", ""}, {"two", ""}}).builders;
    const auto build = builders[0]->start_build("17");
    Command in_build = build->start(endless);
    Command in_builder = builders[0]->start(endless, {.tag = "by hand"});
    Command in_other = builders[1]->start(endless);
    Command in_none = slave.start(endless);
    const auto running = slave.commands();
    REQUIRE(running.size() == 4);
    CHECK(running[0].builder == "one");
    CHECK(running[0].tag == "17");
    CHECK(running[1].builder == "one");
    CHECK(running[1].tag == "by hand");
    CHECK(running[2].builder == "two");
    CHECK(running[3].builder.empty());

    CHECK(builders[0]->interrupt_all("enough of one") == 2);
    CHECK(in_build.wait().interrupted);
    CHECK(in_builder.wait().interrupted);
    CHECK(in_other.state() == CommandState::running);
    CHECK(in_none.state() == CommandState::running);
    CHECK(builders[0]->interrupt_all() == 0);
    CHECK(in_other.interrupt());
    CHECK(in_none.interrupt());
    CHECK(in_other.wait().interrupted);
    CHECK(in_none.wait().interrupted);
  });
}

TEST_CASE("a builder stays in the base directory, and what makes no sense changes nothing") {
  on_every_transport(BeyondRemsh1::reasons, [](Farm&, Slave& slave) {
    const auto before = slave.set_builders({{"one", ""}}).builders;
    slave.execute({"ln", "-s", "/tmp", "out"});
    for (const char* directory : {"../beside", "/tmp/absolute", "out/through-a-link", "a/../../beside"}) {
      CAPTURE(directory);
      const auto refused = thrown_by<RemoteError>([&] { slave.set_builders({{"two", directory}}); });
      REQUIRE(refused);
      CHECK(refused->os() == std::errc::operation_not_permitted);
      if (!TwistedSlaves::are_wanted()) {
        CHECK(refused->message().find("it leads out of the slave's base directory") != std::string::npos);
      }
    }
    CHECK_THROWS_AS(slave.set_builders({{"same", "a"}, {"same", "b"}}), Error);
    CHECK_THROWS_AS(slave.set_builders({{"a", "same"}, {"b", "same"}}), Error);
    CHECK_THROWS_AS(slave.set_builders({{"", "directory"}}), Error);
    CHECK_FALSE(before[0]->is_removed());
  });
}

TEST_CASE("a slave's setup() makes builders, and the slave is listed after it") {
  struct WithBuilders : Slave {
    using Slave::Slave;
    void setup() override {
      for (const auto& builder : set_builders({{"one", ""}, {"two", ""}}).builders) builder->ping();
    }
  };
  Farm farm(Over::unix_socket, {.slave_class = slave_class<WithBuilders>()});
  const auto slave = farm.start();
  CHECK(slave->stat("one"));
  CHECK(slave->stat("two"));
}

}  // namespace remsh::test
