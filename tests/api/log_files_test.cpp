// The log files of a command, at the master.
#include "support/many_bytes.hpp"
#include "support/slaves.hpp"

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

std::vector<Bytes> sh(const Bytes& script) { return {"sh", "-c", script}; }

}  // namespace

TEST_CASE("each output and each log file of a command reaches its own callback, while the command runs") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    std::optional<Command> command;
    Bytes out;
    Bytes err;
    Bytes test;
    std::vector<Bytes> lines_of_build;
    // The command goes on when what it has written is here.
    const auto go_on_after = [&command](Bytes& seen, const Bytes& wanted) {
      return [&seen, wanted, &command](BytesView bytes) {
        seen += bytes;
        if (seen == wanted) command->write("go on\n");
      };
    };
    command = slave.start(sh("mkdir -p sub; cd sub; echo 1; read x; echo 2 >&2; read x; echo 3 >test.log; read x; "
                             "mkdir deep; printf 'a\nb' >deep/build.log; exit 4"),
                          {.in = Source::writes(),
                           .out = go_on_after(out, "1\n"),
                           .err = go_on_after(err, "2\n"),
                           .log_files = {{"test", "sub/test.log", go_on_after(test, "3\n")},
                                         {"build", "sub/deep/build.log",
                                          lines([&](BytesView line) { lines_of_build.emplace_back(line); })},
                                         {"captured", "sub/test.log"}}});
    const ExecuteResult result = command->wait();
    CHECK(result.exit_code == 4);
    CHECK(out == "1\n");
    CHECK(err == "2\n");
    CHECK(test == "3\n");
    CHECK(lines_of_build == std::vector<Bytes>{"a", "b"});
    CHECK(result.logs.size() == 3);
    CHECK(result.logs.at("captured").content == "3\n");
    CHECK(result.logs.at("test").content.empty());
    for (const auto& [name, log] : result.logs) CHECK(log.problem.empty());
  });
}

TEST_CASE("a log file that is truncated or rotated is sent on, and what was there before as was asked for") {
  on_every_transport(BeyondRemsh1::input, [](Farm& farm, Slave& slave) {
    std::optional<Command> command;
    Bytes seen;
    std::vector<Bytes> wanted{"the first\n", "the first\nb\n", "the first\nb\nc\nd\n"};
    std::size_t next = 0;
    const auto take = [&](BytesView bytes) {
      seen += bytes;
      if (next < wanted.size() && seen == wanted[next]) ++next, command->write("go on\n");
    };
    slave.send(Source::bytes("old\n"), "old");
    command = slave.start(sh("echo the first >log; read x; echo b >log; read x; echo c >>log; mv log log.1; "
                             "echo d >log; read x; echo e >>log; echo new >>old"),
                          {.in = Source::writes(),
                           .log_files = {{"log", "log", take},
                                         {"changed", "old"},
                                         {"end", "old", {}, LogBegin::end},
                                         {"start", farm.basedir() + "/old", capture(100), LogBegin::start}}});
    const ExecuteResult result = command->wait();
    CHECK(result.ok());
    CHECK(seen == "the first\nb\nc\nd\ne\n");
    CHECK(result.logs.at("changed").content == "old\nnew\n");
    CHECK(result.logs.at("end").content == "new\n");
    CHECK(result.logs.at("start").content == "old\nnew\n");

    const ExecuteResult again =
        slave.execute({"true"}, {.log_files = {{"changed", "old"}, {"start", "old", {}, LogBegin::start}}});
    CHECK(again.logs.at("changed").content.empty());
    CHECK(again.logs.at("changed").problem.empty());
    CHECK(again.logs.at("start").content == "old\nnew\n");
  });
}

TEST_CASE("the result tells of log files that are missing or are no files, and the command is as good as it is") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    slave.mkdir("directory");
    const ExecuteResult result = slave.execute(
        sh("mkfifo fifo; exit 3"),
        {.log_files = {{"none", "none/x"}, {"directory", "directory"}, {"fifo", "fifo"}, {"device", "/dev/null"}}});
    CHECK(result.exit_code == 3);
    CHECK(result.logs.at("none").os == std::errc::no_such_file_or_directory);
    CHECK(result.logs.at("none").problem.starts_with("the log file 'none/x': "));
    CHECK(result.logs.at("directory").os == std::errc::is_a_directory);
    CHECK(result.logs.at("fifo").os == std::errc::invalid_argument);
    CHECK(result.logs.at("device").os == std::errc::invalid_argument);
    for (const auto& [name, log] : result.logs) CHECK(log.content.empty());
  });
}

TEST_CASE("long log files come whole, before the result, and a slow reader delays only its command") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    const Bytes much = many_bytes(3'000'000);
    slave.send(Source::view(much), "much");
    Bytes first;
    bool is_told = false;
    const ExecuteResult result =
        slave.execute(sh("cat much >a; cat much >b; cat a"), {.out = discard,
                                                              .log_files = {{"a", "a",
                                                                             [&](BytesView bytes) {
                                                                               first += bytes;
                                                                               if (!std::exchange(is_told, true))
                                                                                 CHECK(slave.stat("much"));
                                                                             }},
                                                                            {"b", "b", capture(1000)}}});
    CHECK(result.ok());
    CHECK((first == much));
    CHECK(result.logs.at("b").omitted == much.size() - 1000);
    CHECK(result.logs.at("b").content.starts_with(much.substr(0, 500)));
  });
}

TEST_CASE("a callback of a log file that throws ends its command") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    const auto fail = [](BytesView) { throw std::runtime_error("enough"); };
    const auto error = thrown_by<std::runtime_error>([&] {
      slave.execute(sh("echo a >log; exec sleep 100000"), {.log_files = {{"log", "log", fail}}});
    });
    REQUIRE(error);
    CHECK(std::string(error->what()) == "enough");
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("log files that make no sense are refused before anything is sent") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  const auto refuses = [&slave](std::vector<LogFile> logs) {
    const auto error = thrown_by<Error>([&] { slave->execute({"true"}, {.log_files = std::move(logs)}); });
    return error && error->code() == Errc::invalid_argument;
  };
  CHECK(refuses({{"", "log"}}));
  CHECK(refuses({{"a", "log"}, {"a", "other"}}));
  CHECK(refuses({{"a", ""}}));
  CHECK(refuses({{"a", std::string("a\0b", 3)}}));
  CHECK(refuses({{"a", "log", merge}}));
  CHECK(refuses({{"a", "log", discard}}));
  CHECK(refuses({{"a", "log", OutputCallback()}}));
  std::vector<LogFile> many;
  for (int i = 0; i < 65; ++i) many.push_back({std::to_string(i), "log"});
  CHECK(thrown_by<Error>([&] { slave->execute({"true"}, {.log_files = many}); })->code() == Errc::too_large);
  many.pop_back();
  CHECK(slave->execute({"true"}, {.log_files = many}).logs.size() == 64);
}

TEST_CASE("a slave of the original remsh has no log files") {
  Farm farm(Over::remsh1);
  const auto slave = farm.start();
  const auto error = thrown_by<Error>([&] { slave->execute({"true"}, {.log_files = {{"a", "log"}}}); });
  REQUIRE(error);
  CHECK(error->code() == Errc::unsupported);
}

}  // namespace remsh::test
