// The policy of a slave, as its operator sets it and its master meets it.
#include "support/skip.hpp"
#include "support/slaves.hpp"

#include <unistd.h>

#include <csignal>
#include <filesystem>

namespace remsh::test {

namespace {

namespace fs = std::filesystem;

/// A master and one slave with a policy, in memory or by remsh 1.
struct Strict {
  TempDir dir;
  SlaveCollection slaves;
  std::unique_ptr<SlaveListener> listener;
  std::unique_ptr<SlaveThread> server;
  std::shared_ptr<Slave> slave;

  explicit Strict(SlavePolicy policy, unsigned protocol = 2) {
    SlaveOptions options{.name = "worker", .policy = std::move(policy), .keyless = true, .protocol = protocol};
    if (options.policy.root == "root") options.policy.root = dir / "root";
    if (options.policy.root.empty()) options.basedir = dir / "root";
    dir.write("secret", "outside");
    auto tcp = std::make_unique<TcpSlaveListener>(
        TcpListenerOptions{.slave_collection = slaves,
                           .keyless = true,
                           .protocols = {protocol == 1 ? SlaveProtocol::remsh1() : SlaveProtocol::remsh2()}});
    tcp->start();
    server = std::make_unique<SlaveThread>(std::move(options), [address = tcp->address()](SlaveServer& slave_server) {
      return slave_server.run_once(address);
    });
    listener = std::move(tcp);
    slave = slaves.get_slave(ample);
  }
};

template <class Function>
bool is_forbidden(const Function& function) {
  const auto error = thrown_by<RemoteError>(function);
  return error && error->os() == std::errc::operation_not_permitted &&
         error->message().find("policy of this slave") != std::string::npos;
}

}  // namespace

TEST_CASE("who may run commands may interrupt them, and who may not may not") {
  const Strict strict({.allow = std::vector<std::string>{"execute"}});
  Command command = strict.slave->start({"sleep", "100000"});
  CHECK(command.interrupt());
  CHECK(command.wait().interrupted);
  Command other = strict.slave->start({"sleep", "100000"});
  CHECK(other.signal(SIGKILL));
  CHECK(other.wait().signal == SIGKILL);
  CHECK(is_forbidden([&] { strict.slave->execute({"true"}, {.log_files = {{"log", "log"}}}); }));

  const Strict stricter({.no_execute = true});
  CHECK(is_forbidden([&] { stricter.slave->interrupt(1); }));
  CHECK(is_forbidden([&] { stricter.slave->signal(1, SIGKILL); }));
  for (const char* word : {"interrupt", "signal"}) {
    SlaveServer server({.name = "worker", .policy = {.allow = std::vector<std::string>{word}}, .keyless = true});
    CHECK_THROWS_AS(server.run_once("127.0.0.1:1"), Error);
  }
}

TEST_CASE("a slave does the operations that its policy allows, and says of others that it forbids them") {
  const Strict strict({.allow = std::vector<std::string>{"stat", "send", "echo"}});
  Slave& slave = *strict.slave;
  slave.send(Source::bytes("x"), "file");
  CHECK(slave.stat("file"));
  CHECK(slave.call("echo", {{"a", "b"}}) == Box{{"a", "b"}});
  CHECK(slave.ping() > std::chrono::nanoseconds(0));
  Bytes fetched;
  CHECK(is_forbidden([&] { slave.execute({"true"}); }));
  CHECK(is_forbidden([&] { slave.fetch("file", Sink::bytes(fetched)); }));
  CHECK(is_forbidden([&] { slave.mkdir("d"); }));
  CHECK(is_forbidden([&] { slave.remove("file"); }));
  CHECK(is_forbidden([&] { slave.rename("file", "other"); }));
  CHECK(is_forbidden([&] { slave.copy("file", "other"); }));
  CHECK(is_forbidden([&] { slave.set_cwd(); }));
  CHECK(is_forbidden([&] { slave.getenv(); }));
  CHECK(is_forbidden([&] { slave.read_info(); }));
  CHECK(is_forbidden([&] { slave.call("where"); }));
  CHECK(is_forbidden([&] { slave.print("hello"); }));
  CHECK(is_forbidden([&] { slave.host_facts(); }));
  CHECK(is_forbidden([&] { slave.log_tail(); }));
  CHECK(is_forbidden([&] { slave.report(); }));
  CHECK(is_forbidden([&] { slave.operations(); }));
  CHECK(is_forbidden([&] { slave.shutdown(); }));
  CHECK_FALSE(slave.is_draining());
  CHECK(strict.dir.read("root/file") == "x");
}

TEST_CASE("a slave runs commands as the users that its policy names, and as no other") {
  const Strict strict({.users = {"nobody"}});
  CHECK(is_forbidden([&] { strict.slave->execute({"true"}, {.cwd = "/", .user = "daemon"}); }));
  if (::geteuid() != 0) return skip("only root can run commands as another user");
  const auto result = strict.slave->execute({"id", "-un"}, {.cwd = "/", .user = "nobody"});
  CHECK(result.ok());
  CHECK(result.out == "nobody\n");
  CHECK(strict.slave->execute({"id", "-un"}, {.cwd = "/"}).out == "root\n");
}

TEST_CASE("a slave that runs no commands does all else") {
  const Strict strict({.no_execute = true});
  CHECK(is_forbidden([&] { strict.slave->execute({"true"}); }));
  strict.slave->mkdir("d");
  CHECK(strict.slave->stat("d"));

  const Strict both({.allow = std::vector<std::string>{"execute"}, .no_execute = true});
  CHECK(is_forbidden([&] { both.slave->execute({"true"}); }));
}

TEST_CASE("a slave that is confined makes no program that runs with its rights") {
  const auto mode_of_sent = [](SlavePolicy policy) {
    const Strict strict(std::move(policy));
    strict.slave->send(Source::bytes("x"), "program", {.mode = 06755});
    return fs::status(strict.dir / "root/program").permissions();
  };
  CHECK(mode_of_sent({.root = "root"}) == fs::perms(0755));
  CHECK(mode_of_sent({.no_execute = true}) == fs::perms(0755));
  CHECK(mode_of_sent({.allow = std::vector<std::string>{"send"}}) == fs::perms(0755));
  CHECK(mode_of_sent({}) == fs::perms(06755));
}

TEST_CASE("no path leads out of a slave's root, which is where relative ones begin") {
  for (const unsigned protocol : {2U, 1U}) {
    const Strict strict({.root = "root"}, protocol);
    Slave& slave = *strict.slave;
    const Bytes root = fs::canonical(strict.dir / "root").string();
    CHECK(slave.set_cwd() == root);
    slave.send(Source::bytes("x"), "file");
    CHECK(strict.dir.read("root/file") == "x");
    CHECK(slave.stat(root + "/file"));
    fs::create_symlink("../secret", strict.dir / "root/link");
    Bytes fetched;
    const auto refuses = [&](const auto& function) {
      const auto error = thrown_by<RemoteError>(function);
      // The original's protocol has but a text for a reason.
      return error && (protocol == 1 || is_forbidden(function));
    };
    for (const Bytes& path : {Bytes("../secret"), Bytes("link"), Bytes(strict.dir / "secret")}) {
      CHECK(refuses([&] { slave.fetch(path, Sink::bytes(fetched)); }));
      CHECK(refuses([&] { slave.copy(path, "stolen"); }));
      if (path != "link") CHECK(refuses([&] { slave.rename(path, "stolen"); }));
    }
    CHECK(refuses([&] { slave.send(Source::bytes("y"), "../new"); }));
    CHECK(refuses([&] { slave.set_cwd(".."); }));
    CHECK(fetched.empty());
    CHECK_FALSE(strict.dir.has("root/stolen"));
    CHECK(strict.dir.count() == 2);
    CHECK(strict.dir.read("secret") == "outside");
    // The policy guards operations on files; what a command does it does as the slave's user.
    CHECK(slave.execute({"cat", strict.dir / "secret"}).out == "outside");
  }
}

TEST_CASE("a policy that cannot be is found out before a master is bothered") {
  const TempDir dir;
  SlaveServer misspelt({.policy = {.allow = std::vector<std::string>{"exeute"}}, .keyless = true});
  const auto error = thrown_by<Error>([&] { misspelt.run_once("127.0.0.1:1"); });
  REQUIRE(error);
  CHECK(error->code() == Errc::invalid_argument);
  CHECK(error->message() == "the policy allows 'exeute', which is no operation of this slave");

  SlaveServer elsewhere({.basedir = dir / "other", .policy = {.root = dir / "root"}, .keyless = true});
  const auto outside = thrown_by<Error>([&] { elsewhere.run_once("127.0.0.1:1"); });
  REQUIRE(outside);
  CHECK(outside->os() == std::errc::operation_not_permitted);
  CHECK_FALSE(dir.has("other"));
}

}  // namespace remsh::test
