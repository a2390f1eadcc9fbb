// Slaves of the original remsh, which speak remsh 1: what a user can do with them, and what not. The slave is
// tests/remsh1/original_slave.py, with the weak points of the original.
#include "support/slaves.hpp"
#include "support/thrown.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <string>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;

namespace {

std::string original_slave() {
  const char* const path = std::getenv("REMSH_ORIGINAL_SLAVE");
  if (path == nullptr) throw std::runtime_error("REMSH_ORIGINAL_SLAVE is not set: run this test with meson");
  return path;
}

/// The original slave as a process, in a directory of its own. One thread at a time.
class OriginalSlave {
 public:
  OriginalSlave(const std::string& name, const std::string& port) {
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) {
      // What it says when it dies is what it is expected to say.
      const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      if (::chdir(dir_.path().c_str()) != 0 || ::dup2(null, 2) < 0) ::_exit(126);
      ::execlp("env", "env", "REMSH_TEST=seen", "python3", script_.c_str(), "127.0.0.1", port.c_str(), name.c_str(),
               nullptr);
      ::_exit(127);
    }
  }
  OriginalSlave(const OriginalSlave&) = delete;
  OriginalSlave& operator=(const OriginalSlave&) = delete;
  ~OriginalSlave() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] const TempDir& dir() const noexcept { return dir_; }

  /// A command that makes a file "begun", and runs until there is a file "go", or no directory any more.
  [[nodiscard]] std::vector<Bytes> command() const {
    return {"sh", "-c", ">\"$0/begun\"; while test -d \"$0\" && ! test -e \"$0/go\"; do sleep 0.01; done; echo",
            dir_.path()};
  }

  /// The exit code; waits for the end.
  int exit_code() {
    int status = 0;
    if (!eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  const std::string script_ = original_slave();
  TempDir dir_;
  pid_t pid_ = -1;
};

struct Originals {
  SlaveCollection slaves;
  Log log;
  TcpSlaveListener listener{{.slave_collection = slaves,
                             .keyless = true,
                             .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()},
                             .arbitration_timeout = 100ms,
                             .log = log.hook()}};

  Originals() { listener.start(); }

  [[nodiscard]] std::string port() const { return std::to_string(listener.port()); }
  [[nodiscard]] std::shared_ptr<Slave> wait_for(const std::string& name) {
    auto slave = slaves.get_slave(ample, [&](const Slave& candidate) { return candidate.name() == name; });
    if (!slave) throw std::runtime_error("the original slave does not come: " + log.text());
    return slave;
  }
};

/// A listener with one slave.
struct One : Originals {
  OriginalSlave process{"w1", port()};
  std::shared_ptr<Slave> slave = wait_for("w1");

  [[nodiscard]] const TempDir& dir() const { return process.dir(); }
};

}  // namespace

TEST_CASE("an original slave registers under the name of its host") {
  One one;
  CHECK(one.slave->name() == "w1");
  CHECK(one.slave->info().protocol == "remsh 1");
  CHECK(one.slave->info().hostname == "w1");
  CHECK(one.slave->info().basedir.empty());
  one.slave->ping();
}

TEST_CASE("an original slave makes, finds, renames, copies and removes") {
  One one;
  Slave& slave = *one.slave;
  const Bytes home = slave.set_cwd();
  slave.mkdir("a/b");
  CHECK(slave.stat("a/b")->is_directory());
  CHECK(slave.set_cwd("a") == home + "/a");
  CHECK(slave.set_cwd("") == home + "/a");
  CHECK(slave.set_cwd() == home);
  one.dir().write("f", "hello");
  CHECK(slave.stat("f")->is_file());
  CHECK_FALSE(slave.stat("g").has_value());
  slave.copy("f", "a/g");
  slave.rename("a/g", "h");
  CHECK(one.dir().read("h") == "hello");
  CHECK(os_error_thrown_by([&] { slave.rename("f", "h"); }) == std::errc::file_exists);
  CHECK(os_error_thrown_by([&] { slave.copy("f", "h"); }) == std::errc::file_exists);
  CHECK(code_thrown_by([&] { slave.rename("f", "h", {.overwrite = true}); }) == Errc::unsupported);
  CHECK(os_error_thrown_by([&] { slave.rename("nothing", "x"); }) == std::errc::no_such_file_or_directory);
  CHECK(os_error_thrown_by([&] { slave.copy("a", "x"); }) == std::errc::is_a_directory);
  CHECK(os_error_thrown_by([&] { slave.set_cwd("nothing"); }) == std::errc::no_such_file_or_directory);
  slave.remove("a");
  slave.remove("nothing");
  CHECK_FALSE(one.dir().has("a"));
  CHECK(slave.getenv().at("REMSH_TEST") == "seen");
  slave.ping();
  CHECK(one.dir().count() == 2);  // f and h: nothing temporary
}

TEST_CASE("an original slave runs commands") {
  One one;
  Slave& slave = *one.slave;
  const auto result = slave.execute({"sh", "-c", "echo out; echo err >&2; exit 3"});
  CHECK(result.exit_code == 3);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  CHECK(slave.execute({"sh", "-c", "kill -9 $$"}).signal == 9);
  CHECK(os_error_thrown_by([&] { slave.execute({"no-such-program"}); }) == std::errc::no_such_file_or_directory);
  Bytes big;
  const auto counted = slave.execute({"head", "-c", "3000000", "/dev/zero"},
                                     {.out = [&](BytesView bytes) { big += bytes; }, .err = remsh::discard});
  CHECK(counted.ok());
  CHECK(big == Bytes(3'000'000, '\0'));
  slave.ping();
}

TEST_CASE("an original slave runs a command in a directory and comes back") {
  One one;
  Slave& slave = *one.slave;
  const Bytes home = slave.set_cwd();
  slave.mkdir("sub");
  CHECK(slave.execute({"pwd", "-P"}, {.cwd = "sub"}).out == home + "/sub\n");
  CHECK(slave.set_cwd("") == home);
  CHECK(os_error_thrown_by([&] { slave.execute({"pwd"}, {.cwd = "nothing"}); }) == std::errc::no_such_file_or_directory);
  CHECK(slave.set_cwd("") == home);
}

TEST_CASE("files go to an original slave and come back, one after the other") {
  One one;
  Slave& slave = *one.slave;
  Bytes content;
  for (int i = 0; i < 40'000; ++i) content += std::to_string(i) + "\n";
  for (const auto& [name, bytes] : {std::pair<Bytes, Bytes>{"big", content}, {"empty", ""}, {"small", "x"}}) {
    CHECK(slave.send(Source::bytes(bytes), name).bytes == bytes.size());
    Bytes back;
    slave.fetch(name, Sink::bytes(back));
    CHECK(back == bytes);
  }
  CHECK(os_error_thrown_by([&] { slave.send(Source::bytes("y"), "small"); }) == std::errc::file_exists);
  CHECK(os_error_thrown_by([&] { slave.send(Source::bytes("y"), "no/where"); }) == std::errc::no_such_file_or_directory);
  Bytes nothing;
  CHECK(os_error_thrown_by([&] { slave.fetch("nothing", Sink::bytes(nothing)); }) == std::errc::no_such_file_or_directory);
  slave.ping();
  CHECK(one.dir().count() == 3);
}

TEST_CASE("a program that is sent to an original slave can be run there") {
  One one;
  one.slave->send(Source::bytes("#!/bin/sh\necho ran\n"), "program", {.mode = 0755});
  CHECK(one.slave->execute({"./program"}).out == "ran\n");
}

TEST_CASE("a transfer that its caller gives up leaves an original slave usable, and nothing behind") {
  One one;
  Slave& slave = *one.slave;
  int calls = 0;
  CHECK_THROWS_AS(slave.send(InputCallback([&](std::span<char> buffer) -> std::size_t {
                               if (++calls == 3) throw std::out_of_range("enough");
                               return buffer.size();
                             }),
                             "f"),
                  std::out_of_range);
  slave.send(Source::bytes(Bytes(1'000'000, 'x')), "g");
  CHECK_THROWS_AS(slave.fetch("g", Sink([](BytesView) { throw std::out_of_range("enough"); })), std::out_of_range);
  CHECK(code_thrown_by([&] {
          Bytes few;
          slave.fetch("g", Sink::bytes(few), {.max_bytes = 10});
        }) == Errc::too_large);
  slave.ping();
  CHECK(one.dir().count() == 1);
  CHECK(one.dir().read("g").size() == 1'000'000);
}

TEST_CASE("threads share an original slave") {
  One one;
  std::vector<std::future<bool>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(std::async(std::launch::async, [&one, name = "f" + std::to_string(i)] {
      for (int round = 0; round < 5; ++round) {
        one.slave->send(Source::bytes(name), name);
        Bytes back;
        one.slave->fetch(name, Sink::bytes(back));
        if (back != name || one.slave->execute({"cat", name}).out != name) return false;
        one.slave->remove(name);
      }
      return true;
    }));
  }
  for (auto& thread : threads) CHECK(thread.get());
}

TEST_CASE("an original slave ends when it is let go, instead of spinning") {
  One one;
  SUBCASE("by disconnect()") { one.slave->disconnect(); }
  SUBCASE("by the last handle") {
    one.slaves.remove_slave(*one.slave);
    one.slave.reset();
  }
  SUBCASE("by who leaves a command") {
    std::stop_source stop;
    const std::jthread stopper([&] {
      CHECK(eventually([&] { return one.dir().has("begun"); }));
      stop.request_stop();
    });
    CHECK_THROWS_AS(one.slave->execute(one.process.command(), {.stop = stop.get_token()}), Cancelled);
    CHECK_FALSE(one.slave->is_connected());
    one.dir().write("go", "");  // it notices nothing before it has something to say
  }
  CHECK(one.process.exit_code() == 1);
}

TEST_CASE("an original slave that dies is lost, and its callers are told") {
  One one;
  Event gone;
  one.slave->on_disconnect([gone] { gone.happened(); });
  CHECK_THROWS_AS(one.slave->execute({"sh", "-c", "kill -9 $PPID"}), ConnectionLost);
  CHECK(gone.wait());
  CHECK(one.log.wait_for("disconnected"));
}

TEST_CASE("an original slave is refused where nobody said that it is wanted, and the log says what to do") {
  SlaveCollection slaves;
  Log log;
  TcpSlaveListener listener({.slave_collection = slaves, .keyless = true, .log = log.hook()});
  listener.start();
  OriginalSlave process("w1", std::to_string(listener.port()));
  CHECK(process.exit_code() == 1);
  CHECK(log.wait_for("add SlaveProtocol::remsh1() to `protocols`"));
}

TEST_CASE("an original slave whose name is taken is refused, also while the other is busy") {
  Originals master;
  OriginalSlave first("w1", master.port());
  const auto slave = master.wait_for("w1");
  auto command = std::async(std::launch::async, [&] { return slave->execute(first.command()); });
  REQUIRE(eventually([&] { return first.dir().has("begun"); }));
  OriginalSlave second("w1", master.port());
  CHECK(second.exit_code() == 1);
  CHECK(master.log.wait_for("a slave with the name 'w1' is connected"));
  first.dir().write("go", "");
  CHECK(command.get().ok());
}

TEST_CASE("a host whose name no slave can have is refused") {
  Originals master;
  OriginalSlave process("no name", master.port());
  CHECK(process.exit_code() == 1);
  CHECK(master.log.wait_for("name"));
}

TEST_CASE("slaves of both generations come to one listener") {
  Originals master;
  OriginalSlave process("old", master.port());
  TempDir dir;
  SlaveThread today({.name = "new", .basedir = dir.path(), .keyless = true},
                    [address = master.listener.address()](SlaveServer& server) { return server.run(address); });
  CHECK(master.wait_for("old")->info().protocol == "remsh 1");
  CHECK(master.wait_for("new")->info().protocol == "remsh 2");
}

TEST_CASE("a listener that goes takes its original slaves along, and their callers leave first") {
  auto master = std::make_unique<Originals>();
  OriginalSlave process("w1", master->port());
  const auto slave = master->wait_for("w1");
  auto command =
      std::async(std::launch::async, [&] { CHECK_THROWS_AS(slave->execute(process.command()), ConnectionLost); });
  CHECK(eventually([&] { return code_thrown_by([&] { slave->ping({.deadline = no_wait}); }) == Errc::busy; }));
  master.reset();
  command.get();
  CHECK_FALSE(slave->is_connected());
}
