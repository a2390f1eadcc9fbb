// The program remsh-slave, as an operator meets it: its arguments, its exit codes, what it serves.
#include "support/program.hpp"
#include "support/fake_master.hpp"
#include "support/has.hpp"
#include "support/slaves.hpp"

#include <sys/stat.h>

#include <csignal>
#include <filesystem>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

}  // namespace

TEST_CASE("the program tells how it is used, and its version") {
  for (const char* option : {"--help", "-h"}) {
    Program help({option});
    CHECK(help.wait() == 0);
    for (const char* words : {"usage: remsh-slave", "--master", "--stdio", "--basedir", "exit codes"}) {
      CHECK(has(help.out(), words));
    }
    CHECK(help.err().empty());
  }
  Program version_of({"--version"});
  CHECK(version_of.wait() == 0);
  CHECK(has(version_of.out(), version));
  CHECK(has(version_of.out(), "remsh 2"));
}

TEST_CASE("what makes no sense on the command line ends with 64 and words") {
  for (const auto& example : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "--master"},
           {{"--frobnicate"}, "--frobnicate"},
           {{"stray"}, "stray"},
           {{"--master"}, "needs a value"},
           {{"--stdio", "--name", ""}, "needs a value"},
           {{"--stdio", "--basedir="}, "needs a value"},
           {{"--once=yes", "--stdio"}, "takes no value"},
           {{"--master", "localhost:1", "--stdio"}, "either"},
           {{"--master", "localhost"}, "localhost"},
           {{"--master", "localhost:99999"}, "99999"},
           {{"--master", "unix:"}, "unix"},
           {{"--master", "localhost:1", "--name", "no spaces"}, "no spaces"},
           {{"--master", "localhost:1"}, "--keyless"},
           {{"--master", "tls:localhost:1"}, "--key FILE"},
           {{"--master", "tls:localhost:1", "--keyless"}, "--key FILE"},
           {{"--master", "localhost:1", "--keyless", "--insecure"}, "have a key"},
           {{"--master", "localhost:1", "--keyless", "--ca", "ca.pem"}, "tls:HOST:PORT"},
           {{"--stdio", "--keyless"}, "it takes no --keyless"},
           {{"--stdio", "--key", "w1.key"}, "it takes no --key"},
           {{"--master", "localhost:1", "--keyless", "--allow", "stat,exeute"}, "exeute"},
           {{"--master", "localhost:1", "--keyless", "--allow", "stat,"}, "one comma between"},
           {{"--stdio", "--root", ""}, "needs a value"},
           {{"--stdio", "--no-execute=1"}, "takes no value"},
           {{"--master", "localhost:1", "--keyless", "--retry-max", "0"}, "1 to 86400"},
           {{"--master", "localhost:1", "--keyless", "--retry-max=1m"}, "1 to 86400"},
       }) {
    const auto& args = example.first;
    const auto& words = example.second;
    CAPTURE(words);
    Program program(args);
    CHECK(program.wait() == 64);
    CHECK(has(program.err(), words));
    CHECK(has(program.err(), "--help"));
    CHECK(program.out().empty());
  }
}

TEST_CASE("the environment gives options that the command line does not, and --stdio does not read those of masters") {
  Farm farm(Over::unix_socket);
  const auto in_environment = [](const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); };
  in_environment("REMSH_MASTER", farm.listener->address());
  in_environment("REMSH_NAME", "of-the-environment");
  in_environment("REMSH_PROTOCOL", "3");
  Program wrong({"--once"});
  Program right({"--once", "--protocol=2", "--basedir", farm.basedir()});
  const auto slave = farm.slaves.get_slave(ample);
  Program by_stdio({"--stdio", "--protocol=2", "--basedir", farm.basedir()});
  for (const char* name : {"REMSH_MASTER", "REMSH_NAME", "REMSH_PROTOCOL"}) ::unsetenv(name);
  CHECK(wrong.wait() == 64);
  CHECK(has(wrong.err(), "REMSH_PROTOCOL takes 1 or 2, not '3'"));
  REQUIRE(slave);
  CHECK(slave->name() == "of-the-environment");
  CHECK(by_stdio.wait() != 64);  // its input ends at once
}

TEST_CASE("a key file that others can read, or that is none, ends with 70 and words") {
  const TempDir dir;
  const std::string file = dir / "w1.key";
  const std::string key = make_key().to_base64();
  dir.write("w1.key", "w1 " + key + "\n");
  ::chmod(file.c_str(), 0640);
  Program open_to_others({"--master", "tls:localhost:1", "--key", file});
  CHECK(open_to_others.wait() == 70);
  CHECK(has(open_to_others.err(), "chmod 600 '" + file + "'"));
  ::chmod(file.c_str(), 0600);
  Program not_there({"--master", "tls:localhost:1", "--key", dir / "none"});
  CHECK(not_there.wait() == 70);
  CHECK(has(not_there.err(), "No such file"));

  Program another_name({"--master", "tls:localhost:1", "--key", file, "--name", "w2"});
  CHECK(another_name.wait() == 64);
  CHECK(has(another_name.err(), "'w1'"));
  Program key_in_place_of_file({"--master", "tls:localhost:1", "--key=" + key});
  CHECK(key_in_place_of_file.wait() == 64);
  CHECK_FALSE(has(key_in_place_of_file.err(), key));
  Program both({"--master", "tls:localhost:1", "--key", file, "--keyless"});
  CHECK(both.wait() == 64);
  CHECK(has(both.err(), "one of the two"));
}

TEST_CASE("a base directory that cannot be used ends with 70 and words") {
  const TempDir dir;
  dir.write("file", "");
  Farm farm(Over::tcp);
  Program program({"--once", "--keyless", "--master", farm.listener->address(), "--basedir", dir / "file/below"});
  CHECK(program.wait() == 70);
  CHECK(has(program.err(), "file/below"));
}

TEST_CASE("a base directory that cannot be used is found out before a master is bothered") {
  const TempDir dir;
  dir.write("file", "");
  Program program({"--once", "--master", "unix:/no/such/socket", "--basedir", dir / "file/below"});
  CHECK(program.wait() == 70);
}

TEST_CASE("--trace also logs every box") {
  Farm farm(Over::tcp);
  Program program(
      {"--trace", "--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->execute({"echo", "live"}).ok());
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
  for (const char* words :
       {" > _ask=1 _command=hello ", "nonce=<32 bytes>", "_command=execute", "data=<5 bytes>", "_command=goodbye"}) {
    CAPTURE(words);
    CHECK(has(program.err(), words));
  }
}

TEST_CASE("a master that is not there ends --once with 69") {
  Program program({"--once", "--keyless", "--master", "127.0.0.1:1"});
  CHECK(program.wait() == 69);
  CHECK(has(program.err(), "refused"));
  Program local({"--once", "--master", "unix:/no/such/socket"});
  CHECK(local.wait() == 69);
  CHECK(has(local.err(), "No such file"));
}

TEST_CASE("a master that speaks something else ends --once with 76") {
  const FakeMaster http("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  Program program({"--once", "--keyless", "--master", http.address()});
  CHECK(program.wait() == 76);
  CHECK(has(program.err(), "HTTP"));
}

TEST_CASE("a master that does not want it ends --once with 77 and its reason") {
  Farm farm(Over::tcp,
            {.slave_class = [](SlaveInit) -> std::shared_ptr<Slave> { throw SlaveRefused("come back on Monday"); }});
  Program program({"--once", "--keyless", "--master", farm.listener->address(), "--name", "worker"});
  CHECK(program.wait() == 77);
  CHECK(has(program.err(), "come back on Monday"));
}

TEST_CASE("a master that ends it ends --once with 0, one that vanishes with 75") {
  Farm farm(Over::tcp);
  Program program(
      {"--once", "--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(has(slave->info().software, "remsh-slave"));
  slave->disconnect("that was all");
  CHECK(program.wait() == 0);
  CHECK(has(program.err(), "that was all"));

  const FakeMaster closes("");
  Program lost({"--once", "--keyless", "--master", closes.address()});
  CHECK(lost.wait() == 75);
}

TEST_CASE("it comes back when the master does") {
  TempDir dir;
  std::optional<Program> program;
  std::uint16_t port = 0;
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    SlaveCollection slaves;
    TcpSlaveListener listener({.slave_collection = slaves, .port = port, .keyless = true});
    REQUIRE(eventually([&listener] {  // another process may have been given the port meanwhile
      const auto error = thrown_by<Error>([&listener] { listener.start(); });
      return !error || error->code() != Errc::in_use;
    }));
    port = listener.port();
    if (!program) {
      program.emplace(std::vector<std::string>{"--keyless", "--master", listener.address(), "--basedir", dir / "base"});
    }
    const auto slave = slaves.get_slave(ample);
    REQUIRE(slave);
    CHECK(slave->execute({"true"}).ok());
  }
  REQUIRE(::kill(program->pid(), SIGTERM) == 0);
  CHECK(program->wait() == 0);
}

TEST_CASE("a new key in the file of --key counts for the next connection") {
  const TempDir dir;
  KeyRing keys;
  SlaveCollection slaves;
  TcpListenerOptions options{.slave_collection = slaves, .address = "tls:127.0.0.1:0"};
  options.keys = keys;
  TcpSlaveListener listener(std::move(options));
  listener.start();
  const auto give_key = [&] {
    const Secret key = make_key();
    dir.write("new", "w1 " + key.to_base64() + "\n");
    ::chmod((dir / "new").c_str(), 0600);
    ::rename((dir / "new").c_str(), (dir / "w1.key").c_str());
    return keys.register_slave("w1", key);
  };
  std::optional<KeyRegistration> line = give_key();
  Program program({"--master", listener.address(), "--key", dir / "w1.key", "--basedir", dir / "w1"});
  const auto before = slaves.get_slave(ample);
  REQUIRE(before);
  line = give_key();  // the old one ends, and its connection
  const auto is_new = [&before](const Slave& slave) { return slave.info().key_id != before->info().key_id; };
  CHECK(slaves.get_slave(ample, is_new));
}

TEST_CASE("the program is what a local listener starts by itself, over its standard input and output") {
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves});
  const TempDir dir;
  const auto slave = local.start_slave(dir / "base", "worker");
  CHECK(slave->execute({"cat"}, {.in = Source::bytes(Bytes("stdin of the command, not of the slave"))}).out ==
        "stdin of the command, not of the slave");
  CHECK(slave->execute({"cat"}).out.empty());
  CHECK(local.kill_slave(slave));
}

TEST_CASE("an operator says on the command line what a slave does not do") {
  const TempDir dir;
  SlaveCollection slaves;
  LocalSlaveListener local(
      {.slave_collection = slaves,
       .command = {"remsh-slave", "--root", dir / "root", "--allow=set_cwd,stat,execute", "--no-execute"}});
  const auto slave = local.start_slave("base", "worker");
  CHECK(slave->set_cwd() == std::filesystem::canonical(dir / "root/base").string());
  CHECK_FALSE(slave->stat("file"));
  const auto forbids = [](const auto& function) {
    const auto error = thrown_by<RemoteError>(function);
    return error && error->os() == std::errc::operation_not_permitted;
  };
  CHECK(forbids([&] { slave->stat("/etc/passwd"); }));
  CHECK(forbids([&] { slave->mkdir("d"); }));
  CHECK(forbids([&] { slave->execute({"true"}); }));
}

}  // namespace remsh::test
