// Buildbot's own workers as slaves: docs/buildbot.md. The workers are those of the system's package, unmodified.
#include "support/buildbot_worker.hpp"
#include "support/has.hpp"
#include "support/skip.hpp"
#include "support/slaves.hpp"
#include "support/thrown.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;

namespace {

/// A master for workers of both protocols and for slaves of ours, on one port, with the passwords of two workers.
struct BuildbotOffice {
  SlaveCollection slaves;
  Log log;
  KeyRing keys;
  KeyRegistration b1 = keys.register_password("b1", "pw1", {.labels = {{"os", "linux"}}});
  KeyRegistration b2 = keys.register_password("b2", "pw2");
  TcpSlaveListener listener{
      {.slave_collection = slaves,
       .address = "tcp:127.0.0.1:0",
       .keys = keys,
       .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::buildbot_pb(), SlaveProtocol::buildbot_msgpack()},
       .arbitration_timeout = 2s,
       .log = log.hook()}};

  BuildbotOffice() { listener.start(); }

  std::shared_ptr<Slave> wait_for(const std::string& name) {
    auto slave = slaves.get_slave(ample, [&](const Slave& one) { return one.name() == name; });
    if (!slave) throw std::runtime_error("the worker does not come: " + log.text());
    return slave;
  }
};

/// One worker of one of the protocols.
struct OneWorker : BuildbotOffice {
  explicit OneWorker(const std::string& protocol) : worker(protocol, listener.port()) {}
  BuildbotWorker worker;
  std::shared_ptr<Slave> slave = wait_for("b1");
};

template <class Test>
void with_both(Test test) {
  if (!has_buildbot_worker()) return skip("buildbot-worker is not installed");
  for (const std::string& protocol : {pb, msgpack}) {
    CAPTURE(protocol);
    test(protocol);
  }
}

template <class Test>
void with_a_worker(Test test) {
  with_both([&](const std::string& protocol) {
    OneWorker one(protocol);
    test(one);
  });
}

}  // namespace

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

TEST_CASE("a worker of Buildbot makes, finds, lists, renames, copies and removes") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    const Bytes home = slave.set_cwd();
    CHECK(home == one.worker.base());
    slave.mkdir("a/b");
    slave.mkdir("a/b");
    CHECK(slave.stat("a/b")->is_directory());
    CHECK(slave.set_cwd("a") == home + "/a");
    CHECK(slave.set_cwd("b/..") == home + "/a");
    CHECK(slave.set_cwd("") == home + "/a");
    CHECK(slave.set_cwd() == home);
    CHECK(os_error_thrown_by([&] { slave.set_cwd("missing"); }) == std::errc::no_such_file_or_directory);
    slave.send(Source::bytes("hello"), "a/f");
    const auto info = slave.stat("a/f");
    REQUIRE(info);
    CHECK(info->is_file());
    CHECK(info->size == 5);
    CHECK_FALSE(slave.stat("a/g").has_value());
    CHECK(os_error_thrown_by([&] { slave.set_cwd("a/f"); }) == std::errc::not_a_directory);
    slave.copy("a/f", "a/g");
    slave.rename("a/g", "a/h");
    CHECK(os_error_thrown_by([&] { slave.copy("a/f", "a/h"); }) == std::errc::file_exists);
    CHECK(os_error_thrown_by([&] { slave.rename("a/f", "a/h"); }) == std::errc::file_exists);
    CHECK(os_error_thrown_by([&] { slave.rename("a/x", "a/y"); }) == std::errc::no_such_file_or_directory);
    slave.send(Source::bytes("more"), "a/i");
    slave.rename("a/i", "a/h", {.overwrite = true});
    Bytes got;
    slave.fetch("a/h", Sink([&](BytesView bytes) { got += bytes; }));
    CHECK(got == "more");
    REQUIRE(::symlink("f", (one.worker.base() + "/a/link").c_str()) == 0);
    CHECK(slave.stat("a/link")->is_file());
    CHECK(slave.stat("a/link", {.follow = false})->type == FileType::symlink);
    CHECK_FALSE(slave.stat("a/no", {.follow = false}).has_value());
    std::ofstream(one.worker.base() + "/a/b/\xff name\n") << "x";
    const auto names = [&](const Bytes& path) {
      std::vector<Bytes> all;
      for (const DirectoryEntry& entry : slave.list(path)) all.push_back(entry.name);
      return all;
    };
    CHECK(names("a") == std::vector<Bytes>{"b", "f", "h", "link"});
    CHECK(names("a/b") == std::vector<Bytes>{"\xff name\n"});
    CHECK(slave.list("a/b")[0].info.size == 1);
    CHECK(os_error_thrown_by([&] { slave.list("none"); }) == std::errc::no_such_file_or_directory);
    REQUIRE(::symlink("nowhere", (one.worker.base() + "/a/dangling").c_str()) == 0);
    slave.rename("a/dangling", "a/moved");
    CHECK(slave.stat("a/moved", {.follow = false})->type == FileType::symlink);
    CHECK(os_error_thrown_by([&] { slave.stat(Bytes(700'000, 'a')); }) == std::errc::filename_too_long);
    slave.remove("a");
    CHECK_FALSE(slave.stat("a").has_value());
    slave.remove("a");
  });
}

TEST_CASE("a worker of Buildbot runs commands, with their output while they run") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    auto result = slave.execute({"sh", "-c", "echo out; echo err >&2; exit 3"});
    CHECK(result.exit_code == 3);
    CHECK(result.out == "out\n");
    CHECK(result.err == "err\n");
    CHECK(result.ran.has_value());
    CHECK(result.dir == one.worker.base());
    CHECK(slave.execute({"printf", "%s|", "", "$x", "a b", "*"}).out.substr(0, 11) == "|$x|a b|*|\n");
    CHECK(slave.execute({"no-such-program"}).exit_code == 127);
    CHECK(slave.execute({"sh", "-c", "kill -9 $$"}).signal == 9);
    CHECK(slave.execute({"sh", "-c", "echo out; echo err >&2"}, {.err = merge}).out == "out\nerr\n");
    CHECK(slave.execute({"sh", "-c", "echo out; echo err >&2"}, {.out = discard}).out.empty());
    CHECK(os_error_thrown_by([&] { slave.execute({"true"}, {.cwd = "none"}); }) ==
          std::errc::no_such_file_or_directory);
    slave.mkdir("d");
    CHECK(slave.execute({"pwd"}, {.cwd = "d"}).out == one.worker.base() + "/d\n");
    ExecuteOptions options{.env = {{"A", "${HOME}${}'"}, {"HOME", std::nullopt}, {"PYTHONPATH", "x'y"}}};
    options.prepend_env = {{"PATH", "/opt/new"}};
    result = slave.execute({"sh", "-c", "echo \"$A|${HOME-unset}|$PYTHONPATH|${PATH%%:*}\""}, options);
    CHECK(result.out == "${HOME}${}'|unset|x'y|/opt/new\n");
    CHECK(slave.execute({"/bin/sh", "-c", "echo ${HOME-unset}"}, {.clear_env = true}).out == "unset\n");
    options = {.env = {{"PYTHONPATH", std::nullopt}}};
    CHECK(slave.execute({"sh", "-c", "echo ${PYTHONPATH-unset}"}, options).out == "unset\n");
    result = slave.execute({"true", "x\nprocess killed by signal 9\ncommand timed out: 1 seconds elapsed\ny"});
    CHECK(result.ok());
    CHECK_FALSE(result.timed_out);
  });
}

TEST_CASE("a worker of Buildbot takes input, and sends exact bytes on request") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    Bytes all;
    for (int i = 0; i < 100'000; ++i) all += static_cast<char>(i * 7);
    const auto result = slave.execute({"cat"}, {.in = Source::bytes(all), .exact_output = true});
    CHECK(result.ok());
    CHECK(result.out == all);
    CHECK(slave.execute({"sh", "-c", "printf 'a\\r\\377'; printf 'b' >&2; exit 4"}, {.exact_output = true}).out ==
          "a\r\xff");
    CHECK(slave.execute({"wc", "-c"}, {.in = Source::bytes("12345")}).out == "5\n");
    CHECK(slave.list(".").size() ==
          static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(one.worker.base()),
                                                 std::filesystem::directory_iterator())));
    for (const DirectoryEntry& entry : slave.list(".")) CHECK_FALSE(entry.name.starts_with(".remsh"));
  });
}

TEST_CASE("files go to a worker of Buildbot and back whole, or not at all") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    Bytes all;
    for (int i = 0; i < 3'000'000; ++i) all += static_cast<char>(i * 31 >> 3);
    CHECK(slave.send(Source::bytes(all), "f", {.mode = 0640}).bytes == all.size());
    CHECK(slave.stat("f")->mode == 0640);
    Bytes got;
    const auto fetched = slave.fetch("f", Sink([&](BytesView bytes) { got += bytes; }));
    CHECK(fetched.bytes == all.size());
    CHECK(got == all);
    CHECK(os_error_thrown_by([&] { slave.send(Source::bytes("x"), "f"); }) == std::errc::file_exists);
    CHECK(os_error_thrown_by([&] { slave.send(Source::bytes("x"), "none/f"); }) ==
          std::errc::no_such_file_or_directory);
    CHECK_FALSE(slave.stat("none").has_value());
    slave.send(Source::bytes(""), "f", {.overwrite = true});
    CHECK(slave.stat("f")->size == 0);
    CHECK(os_error_thrown_by([&] { slave.fetch("none", Sink([](BytesView) {})); }) ==
          std::errc::no_such_file_or_directory);
    CHECK(os_error_thrown_by([&] { slave.fetch(".", Sink([](BytesView) {})); }) == std::errc::is_a_directory);
    struct Stop {};
    CHECK_THROWS_AS(slave.send(Source([](std::span<char>) -> std::size_t { throw Stop(); }), "g"), Stop);
    const auto is_part = [](const DirectoryEntry& entry) { return entry.name.starts_with(".remsh"); };
    CHECK(eventually([&] {
      const auto entries = slave.list(".");
      return std::none_of(entries.begin(), entries.end(), is_part);
    }));
    CHECK_FALSE(slave.stat("g"));
  });
}

TEST_CASE("two commands of a worker of Buildbot run at once, and each is interrupted alone, with a reason") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    Command first = slave.start({"sh", "-c", "echo 1; exec sleep 600"});
    Command second = slave.start({"sh", "-c", "read line < go; echo \"$line\""});
    CHECK(slave.execute({"mkfifo", "go"}).ok());
    slave.execute({"sh", "-c", "true"});
    CHECK(slave.commands().size() == 2);
    CHECK(first.interrupt("no more of it"));
    const auto result = first.wait();
    CHECK(result.interrupted);
    CHECK(result.signal == SIGTERM);
    CHECK(result.out == "1\n");
    CHECK_FALSE(first.interrupt("again"));
    second.interrupt("");
    second.wait();
    CHECK(slave.commands().empty());
    Command third = slave.start({"sh", "-c", "trap 'exit 3' TERM; >begun; while :; do sleep 0.05; done"});
    CHECK(eventually([&] { return slave.stat("begun").has_value(); }));
    CHECK(third.interrupt());
    CHECK(third.wait().exit_code == 3);
    CHECK(third.wait().interrupted);
  });
}

TEST_CASE("the output of a worker of Buildbot comes while its command runs") {
  with_both([](const std::string& protocol) {
    if (protocol == pb) return;  // there a worker holds it for 5 s
    OneWorker one(protocol);
    const int made = ::mkfifo((one.worker.base() + "/go").c_str(), 0600);
    REQUIRE(made == 0);
    bool is_first = true;
    const auto result =
        one.slave->execute({"sh", "-c", "echo one; read line < go; echo $line"}, {.out = [&](BytesView bytes) {
                             if (!std::exchange(is_first, false)) return;
                             CHECK(bytes == "one\n");
                             std::ofstream(one.worker.base() + "/go") << "two\n";
                           }});
    CHECK(result.ok());
    CHECK_FALSE(is_first);
  });
}

TEST_CASE("a command of a worker of Buildbot is interrupted while its input still comes") {
  with_a_worker([](OneWorker& one) {
    std::optional<Command> command;
    bool is_interrupted = false;
    const Source endless([&](std::span<char> buffer) {
      if (!std::exchange(is_interrupted, true)) CHECK(command->interrupt());
      return buffer.size();
    });
    command = one.slave->start({"cat"}, {.in = endless, .out = discard});
    const auto result = command->wait();
    CHECK(result.interrupted);
    CHECK(result.signal == SIGTERM);
    for (const DirectoryEntry& entry : one.slave->list(".")) CHECK_FALSE(entry.name.starts_with(".remsh"));
  });
}

TEST_CASE("limits of time end a command of a worker of Buildbot") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    auto result = slave.execute({"sleep", "600"}, {.timeout = 300ms});
    CHECK(result.timed_out);
    CHECK_FALSE(result.went_silent);
    CHECK(result.signal == SIGTERM);
    result = slave.execute({"sleep", "600"}, {.silence_timeout = 300ms});
    CHECK(result.went_silent);
    result = slave.execute({"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"},
                           {.timeout = 300ms, .kill_after = 300ms});
    CHECK(result.timed_out);
    CHECK(result.signal == SIGKILL);
    CHECK(code_thrown_by([&] { slave.execute({"sleep", "600"}, {.deadline = 300ms}); }) == Errc::timeout);
    CHECK(eventually([&] {
      return slave.execute({"pgrep", "-P", std::to_string(one.worker.pid()), "sleep"}).exit_code == 1;
    }));
  });
}

TEST_CASE("log files of a command come from a worker of Buildbot") {
  with_a_worker([](OneWorker& one) {
    const auto result =
        one.slave->execute({"sh", "-c", "for i in 1 2 3; do echo line $i >> test.log; sleep 0.2; done; sleep 2.5"},
                           {.log_files = {{"test", "test.log"}}});
    CHECK(result.ok());
    CHECK(result.logs.at("test").content == "line 1\nline 2\nline 3\n");
  });
}

TEST_CASE("64 MiB of output come from a worker of Buildbot") {
  with_a_worker([](OneWorker& one) {
    const std::size_t lines = 1024 * 1024;
    std::size_t size = 0;
    bool is_right = true;
    const std::string line(63, 'x');
    Bytes rest;
    const auto result = one.slave->execute({"sh", "-c", "yes " + line + " | head -n " + std::to_string(lines)},
                                           {.out = [&](BytesView bytes) {
                                             size += bytes.size();
                                             is_right = is_right && bytes.find_first_not_of("x\n") == BytesView::npos;
                                           }});
    CHECK(result.ok());
    CHECK(size == lines * 64);
    CHECK(is_right);
  });
}

TEST_CASE("what a worker of Buildbot cannot do is refused by name, and nothing of it is done") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    const auto refusal = [](const auto& function) {
      try {
        function();
      } catch (const Error& error) {
        CHECK(error.code() == Errc::unsupported);
        return std::string(error.what());
      }
      return std::string("nothing was thrown");
    };
    const std::vector<Bytes> touch{"touch", "done"};
    CHECK(test::has(refusal([&] { slave.execute(touch, {.terminal = Terminal()}); }), "terminal"));
    CHECK(test::has(refusal([&] { slave.execute(touch, {.nice = 3}); }), "nice"));
    CHECK(test::has(refusal([&] { slave.execute(touch, {.user = "nobody"}); }), "user"));
    CHECK(test::has(refusal([&] { slave.execute(touch, {.secrets = {"x"}}); }), "log"));
    CHECK(test::has(refusal([&] { slave.execute({"touch", "\xff"}); }), "UTF-8"));
    CHECK(test::has(refusal([&] { slave.execute({"touch", Bytes(200'000, 'x')}); }), "128 KiB"));
    CHECK(test::has(refusal([&] { slave.execute(std::vector<Bytes>(300'000, "xx")); }), "512 KiB"));
    slave.print(Bytes(700'000, '\n'));
    CHECK(test::has(refusal([&] { slave.call("own"); }), "call"));
    CHECK(test::has(refusal([&] { slave.host_facts(); }), "host_facts"));
    CHECK(test::has(refusal([&] { slave.restart(); }), "cannot start again by itself"));
    CHECK_FALSE(slave.stat("done").has_value());
    const auto all = slave.operations();
    CHECK(std::find(all.begin(), all.end(), "execute") != all.end());
    CHECK(std::find(all.begin(), all.end(), "host_facts") == all.end());
  });
}

TEST_CASE("builders are directories of a worker of Buildbot") {
  with_a_worker([](OneWorker& one) {
    const auto builders = one.slave->set_builders({{"runtests", "rt"}, {"docs"}}).builders;
    CHECK(std::filesystem::is_directory(one.worker.base() + "/rt"));
    CHECK(builders.at(1)->execute({"pwd"}).out == one.worker.base() + "/docs\n");
  });
}

TEST_CASE("a worker of Buildbot with a wrong password comes again until it has the right one") {
  with_both([](const std::string& protocol) {
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
  with_both([](const std::string& protocol) {
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
  with_both([](const std::string& protocol) {
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
  with_both([](const std::string& protocol) {
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
  with_both([](const std::string& protocol) {
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
  with_both([](const std::string& protocol) {
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
  with_both([](const std::string& protocol) {
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
