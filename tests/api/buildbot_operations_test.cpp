// What a user can do with a worker of Buildbot. The workers are those of the system's package, unmodified.
#include "support/buildbot_office.hpp"
#include "support/has.hpp"
#include "support/thrown.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;

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

TEST_CASE("a long line of a worker of Buildbot is whole over msgpack, and over PB on request") {
  with_a_worker([](OneWorker& one) {
    Slave& slave = *one.slave;
    const Bytes line(10'000, 'x');
    const std::vector<Bytes> args{"sh", "-c", "head -c 10000 /dev/zero | tr '\\0' x"};
    CHECK((slave.execute(args, {.exact_output = true}).out == line));
    const Bytes out = slave.execute(args).out;
    if (slave.info().protocol == SlaveProtocol::buildbot_msgpack().name()) {
      CHECK((out == line + "\n"));  // which it adds
    } else {
      CHECK(out.size() < line.size());  // 3.7 loses most of what is beyond 4096
    }
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
  with_both_protocols([](const std::string& protocol) {
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
    for (auto timeout = 300ms; true; timeout *= 2) {  // until the trap is set before the time is over
      REQUIRE(timeout < ample);
      result = slave.execute({"sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.1; done"},
                             {.timeout = timeout, .kill_after = 300ms});
      CHECK(result.timed_out);
      if (!result.out.empty()) break;
    }
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
