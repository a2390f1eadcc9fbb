// How the options of remsh-slave are read: from a command line, from the environment, by name.
#include "programs/option_reader.hpp"

#include "support/temp_dir.hpp"

#include <remsh/base/secret.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::program {

using remsh::test::TempDir;

namespace {

using namespace std::chrono_literals;

/// A command, its settings, and what reads them.
struct Reading {
  explicit Reading(const Command& for_command = serve_command()) : command(for_command) {}

  /// What is wrong with the arguments; empty if nothing is.
  std::string arguments(const std::vector<std::string_view>& words) {
    const auto read = reader.read_arguments(words);
    return read ? "" : read.failure().message;
  }

  /// The same for variables.
  std::string environment(const std::map<std::string, std::string>& variables) {
    const auto read = reader.read_environment([&variables](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
    return read ? "" : read.failure().message;
  }

  /// The same for a line of a file.
  std::string file(std::string_view name, const std::string& value) {
    const auto read = reader.set(name, value, Source::file, "slave.conf:3: " + std::string(name));
    return read ? "" : read.failure().message;
  }

  const Command& command;
  Settings settings{.now = std::chrono::system_clock::time_point(1'800'000'000s)};
  OptionReader reader{command, settings};
};

}  // namespace

TEST_CASE("options take their values behind a space or an equals sign, and switches take none") {
  Reading reading;
  CHECK(reading.arguments({"--master", "tls:h:1", "--name=w1", "word", "--once", "--basedir=a=b"}).empty());
  CHECK(reading.settings.program.master == "tls:h:1");
  CHECK(reading.settings.program.slave.name == "w1");
  CHECK(reading.settings.program.once);
  CHECK_FALSE(reading.settings.stdio);
  CHECK(reading.settings.program.slave.basedir == "a=b");
  CHECK(reading.settings.words == std::vector<std::string>{"word"});
}

TEST_CASE("an option that is given twice has its last value, and those that may be repeated have all") {
  Reading serve;
  CHECK(serve.arguments({"--name=w1", "--name=w2"}).empty());
  CHECK(serve.settings.program.slave.name == "w2");
  Reading keygen(keygen_command());
  CHECK(keygen.arguments({"--network=10.0.0.0/8", "--network", "fd00::1", "--label=a=b=c", "--label=d="}).empty());
  CHECK(keygen.settings.terms.networks == std::vector<std::string>{"10.0.0.0/8", "fd00::1"});
  CHECK(keygen.settings.terms.labels == std::map<std::string, std::string>{{"a", "b=c"}, {"d", ""}});
}

TEST_CASE("slots and resources are counted, and a command line replaces those of a file") {
  Reading reading;
  CHECK(reading.settings.program.slave.slots == 1);
  CHECK(reading.arguments({"--slots=4", "--resource=gpu=2", "--resource", "tape=1"}).empty());
  CHECK(reading.settings.program.slave.slots == 4);
  CHECK(reading.settings.program.slave.resources == std::map<std::string, std::uint64_t>{{"gpu", 2}, {"tape", 1}});
  Reading both;
  CHECK(both.file("resource", "gpu=2").empty());
  CHECK(both.arguments({"--resource=tape=1"}).empty());
  CHECK(both.settings.program.slave.resources == std::map<std::string, std::uint64_t>{{"tape", 1}});
}

TEST_CASE("the time after SIGTERM is in seconds, and may be none") {
  Reading reading;
  CHECK(reading.settings.program.drain_time == std::chrono::seconds(5));
  CHECK(reading.arguments({"--drain=0"}).empty());
  CHECK(reading.settings.program.drain_time == std::chrono::seconds(0));
  CHECK(reading.arguments({"--drain", "90"}).empty());
  CHECK(reading.settings.program.drain_time == std::chrono::seconds(90));
}

TEST_CASE("a wrong value is refused with the option, the value, and what is allowed") {
  for (const auto& [words, message] : std::vector<std::pair<std::vector<std::string_view>, std::string>>{
           {{"--retry-max", "1m"}, "--retry-max takes 1 to 86400 seconds, not '1m'"},
           {{"--retry-max=0"}, "--retry-max takes 1 to 86400 seconds, not '0'"},
           {{"--retry-max=86401"}, "--retry-max takes 1 to 86400 seconds, not '86401'"},
           {{"--drain=-1"}, "--drain takes 0 to 86400 seconds, not '-1'"},
           {{"--drain=86401"}, "--drain takes 0 to 86400 seconds, not '86401'"},
           {{"--protocol=3"}, "--protocol takes 1 or 2, not '3'"},
           {{"--slots=0"}, "--slots takes 1 to 1000000000, not '0'"},
           {{"--slots=two"}, "--slots takes 1 to 1000000000, not 'two'"},
           {{"--resource=gpu"}, "--resource takes NAME=COUNT, as gpu=2, not 'gpu'"},
           {{"--resource=gpu=a100"}, "--resource takes NAME=COUNT, as gpu=2, not 'gpu=a100'"},
           {{"--resource=gpu=0"}, "--resource: there are 1 to 1,000,000,000 of the resource 'gpu', or it is left out"},
           {{"--resource=slots=2"}, "--resource: slots are not one of the resources: they have an option of their own"},
           {{"--name=w 1"},
            "--name takes 1 to 64 of A-Z a-z 0-9 . _ -, of which the first is a letter or a digit, not 'w 1'"},
           {{"--allow=stat,,fetch"},
            "--allow takes words with one comma between them, as stat,fetch, not 'stat,,fetch'"},
           {{"--allow-user=build,"},
            "--allow-user takes names of accounts with one comma between them, as build,test, not 'build,'"},
       }) {
    CHECK(Reading().arguments(words) == message);
  }
  const std::string address = Reading().arguments({"--master=h"});
  CHECK(address.starts_with("--master: the address 'h' has no port; tcp:HOST:PORT"));
}

TEST_CASE("a wrong value of keygen is refused in the same way") {
  for (const auto& [words, message] : std::vector<std::pair<std::vector<std::string_view>, std::string>>{
           {{"--expires=1w"},
            "--expires takes a time in UTC, as 2027-01-31T00:00:00Z, or a duration, as 30m, 12h, 90d, not '1w'"},
           {{"--expires=2020-01-01T00:00:00Z"}, "--expires takes a time that is not over, not '2020-01-01T00:00:00Z'"},
           {{"--network=10.0.0.1/8"},
            "--network takes an address, or the first of a range with its prefix, as 10.0.0.0/8 or fd00::/8, not "
            "'10.0.0.1/8'"},
           {{"--label=rack"}, "--label takes KEY=VALUE, not 'rack'"},
           {{"--label==b7"}, "--label takes KEY=VALUE, not '=b7'"},
       }) {
    CHECK(Reading(keygen_command()).arguments(words) == message);
  }
}

TEST_CASE("a value that is missing, empty, or too much is refused") {
  CHECK(Reading().arguments({"--master"}) == "--master needs a value: ADDRESS");
  CHECK(Reading().arguments({"--master", ""}) == "--master needs a value: ADDRESS");
  CHECK(Reading().arguments({"--basedir="}) == "--basedir needs a value: DIR");
  CHECK(Reading().arguments({"--once=yes"}) == "--once takes no value");
  CHECK(Reading().file("name", "") == "slave.conf:3: name needs a value: NAME");
}

TEST_CASE("an unknown option names the nearest known one, or the command that has it") {
  CHECK(Reading().arguments({"--bsaedir=x"}) == "unknown option '--bsaedir'; did you mean --basedir?");
  CHECK(Reading().arguments({"--retry"}) == "unknown option '--retry'; did you mean --retry-max?");
  CHECK(Reading().arguments({"--frobnicate"}) == "unknown option '--frobnicate'");
  CHECK(Reading().arguments({"-m"}) == "unknown option '-m'");
  CHECK(Reading().arguments({"-master"}) == "unknown option '-master'; did you mean --master?");
  CHECK(Reading().arguments({"--slave-file=x"}) ==
        "unknown option '--slave-file', which is one of 'remsh-slave keygen'");
  CHECK(Reading(enrol_command()).arguments({"--sever-name=x"}) ==
        "unknown option '--sever-name'; did you mean --server-name?");
  CHECK(Reading(enrol_command()).arguments({"--basedir=x"}) ==
        "unknown option '--basedir', which is one of 'remsh-slave'");
  CHECK(Reading().file("nmae", "w1") == "unknown option 'slave.conf:3: nmae'; did you mean --name?");
}

TEST_CASE("no message shows what may be a key") {
  const std::string key = make_key().to_base64();
  for (const std::string& message : {Reading().arguments({"--" + key}), Reading().arguments({"--key=" + key}),
                                     Reading().arguments({"--name=" + key}), Reading().arguments({"--retry-max", key}),
                                     Reading(enrol_command()).arguments({"--key", key}),
                                     Reading(keygen_command()).arguments({"--label=" + key.substr(0, 43)}),
                                     Reading().environment({{"REMSH_KEY", key}})}) {
    CAPTURE(message);
    CHECK_FALSE(message.empty());
    CHECK(message.find(key.substr(0, 12)) == std::string::npos);
  }
}

TEST_CASE("the help ends the reading, and what is wrong before it counts") {
  Reading reading;
  CHECK(reading.arguments({"--help", "--no-such-option"}).empty());
  CHECK(reading.settings.shows == Shows::help);
  CHECK(Reading().arguments({"--no-such-option", "--help"}) != "");
  Reading short_one;
  CHECK(short_one.arguments({"-h"}).empty());
  CHECK(short_one.settings.shows == Shows::help);
}

TEST_CASE("values behind --percent-encoded are decoded, those of other sources are not") {
  Reading reading;
  CHECK(reading.arguments({"--root=%41", "--percent-encoded", "--basedir=a%20b", "--name", "%77%31"}).empty());
  CHECK(reading.environment({{"REMSH_CA", "%41"}}).empty());
  CHECK(reading.settings.program.slave.policy.root == "%41");
  CHECK(reading.settings.program.slave.basedir == "a b");
  CHECK(reading.settings.program.slave.name == "w1");
  CHECK(reading.settings.program.slave.tls.ca == "%41");
}

TEST_CASE("the command line counts before the environment, and that before a file, whatever is read first") {
  Reading reading;
  CHECK(reading.file("basedir", "file").empty());
  CHECK(reading.file("name", "file").empty());
  CHECK(reading.file("retry-max", "7").empty());
  CHECK(reading.environment({{"REMSH_NAME", "environment"}, {"REMSH_RETRY_MAX", "8"}, {"REMSH_CA", ""}}).empty());
  CHECK(reading.arguments({"--retry-max=9"}).empty());
  CHECK(reading.environment({{"REMSH_RETRY_MAX", "no number"}}).empty());
  CHECK(reading.file("name", "file").empty());
  CHECK(reading.settings.program.slave.basedir == "file");
  CHECK(reading.settings.program.slave.name == "environment");
  CHECK(reading.settings.program.slave.back_off_max == 9s);
  CHECK(reading.settings.program.slave.tls.ca.empty());
}

TEST_CASE("a wrong value from elsewhere is refused with the name that it has there") {
  CHECK(Reading().environment({{"REMSH_PROTOCOL", "x"}}) == "REMSH_PROTOCOL takes 1 or 2, not 'x'");
  CHECK(Reading().file("protocol", "x") == "slave.conf:3: protocol takes 1 or 2, not 'x'");
  CHECK(Reading().file("once", "1") == "slave.conf:3: once takes yes or no, not '1'");
}

TEST_CASE("a switch can be set by name, to yes and to no") {
  Reading reading;
  CHECK(reading.file("no-execute", "yes").empty());
  CHECK(reading.settings.program.slave.policy.no_execute);
  CHECK(reading.file("no-execute", "no").empty());
  CHECK_FALSE(reading.settings.program.slave.policy.no_execute);
}

TEST_CASE("a repeated option has the values of the strongest source alone") {
  const auto masters_of = [](const Reading& reading) {
    std::vector<std::string> all{reading.settings.program.master};
    const auto& others = reading.settings.program.other_masters;
    all.insert(all.end(), others.begin(), others.end());
    return all;
  };
  using Masters = std::vector<std::string>;
  Reading reading;
  CHECK(reading.file("master", "unix:/a").empty());
  CHECK(reading.file("master", "unix:/b").empty());
  CHECK(masters_of(reading) == Masters{"unix:/a", "unix:/b"});
  CHECK(reading.environment({{"REMSH_MASTER", "unix:/c"}}).empty());
  CHECK(masters_of(reading) == Masters{"unix:/c"});
  CHECK(reading.arguments({"--master=unix:/d", "--master", "unix:/e", "--master=unix:/f"}).empty());
  CHECK(reading.file("master", "unix:/a").empty());
  CHECK(masters_of(reading) == Masters{"unix:/d", "unix:/e", "unix:/f"});
  Reading enrol(enrol_command());
  CHECK(enrol.arguments({"--master=unix:/a", "--master=unix:/b"}).empty());
  CHECK(masters_of(enrol) == Masters{"unix:/b"});
}

TEST_CASE("a configuration file has the names of the options, and its mistakes are named with their line") {
  const TempDir dir;
  const auto read = [&dir](const std::string& content) {
    dir.write("slave.conf", content);
    REQUIRE(::chmod((dir / "slave.conf").c_str(), 0600) == 0);
    Reading reading;
    const auto done = reading.reader.read_config(dir / "slave.conf");
    return done ? "master " + reading.settings.program.master : done.failure().message;
  };
  CHECK(read("# A slave.\nmaster = unix:/m\nno-execute = yes\n") == "master unix:/m");
  CHECK(read("master = unix:/m\nretry-max = 1m\n") == "slave.conf:2: retry-max takes 1 to 86400 seconds, not '1m'");
  CHECK(read("nmae = w1\n") == "unknown option 'slave.conf:1: nmae'; did you mean --name?");
  CHECK(read("keys = f\n") == "unknown option 'slave.conf:1: keys', which is one of 'remsh-slave keygen'");
  CHECK(read("once = 1\n") == "slave.conf:1: once takes yes or no, not '1'");
  CHECK(read("name =\n") == "slave.conf:1: name needs a value: NAME");
  CHECK(read("name = a\n\nname = b\n") == "slave.conf:3: name is in line 1 already");
  CHECK(read("master = unix:/m\nmaster = unix:/n\n") == "master unix:/m");
  for (const char* const name : {"stdio", "until-eof", "config", "percent-encoded", "help", "version"}) {
    CAPTURE(name);
    CHECK(read(std::string(name) + " = yes\n") ==
          "slave.conf:1: " + std::string(name) + " belongs on the command line");
  }
}

TEST_CASE("the reader knows the values that count, as they were given") {
  Reading reading(create_command());
  CHECK(reading.arguments({"d", "--name=w1", "--master=unix:/a", "--once", "--master=unix:/b"}).empty());
  CHECK(reading.environment({{"REMSH_NAME", "w2"}, {"REMSH_RETRY_MAX", "30"}}).empty());
  std::vector<std::string> given;
  for (const auto& [option, values] : reading.reader.given()) {
    for (const std::string& value : values) given.push_back(std::string(option->name) + "=" + value);
  }
  CHECK(given == std::vector<std::string>{"master=unix:/a", "master=unix:/b", "once=yes", "retry-max=30", "name=w1"});
}

TEST_CASE("durations and sizes have units") {
  Reading reading;
  CHECK(reading.arguments({"--idle-exit=90s", "--lifetime=2h", "--give-up-after=3d", "--log-size=10k", "--log-keep=0"})
            .empty());
  CHECK(reading.settings.program.slave.idle_exit == 90s);
  CHECK(reading.settings.program.slave.lifetime == 2h);
  CHECK(reading.settings.program.slave.give_up_after == 72h);
  CHECK(reading.settings.program.log_size == 10 * 1024);
  CHECK(reading.settings.program.log_keep == 0);
  CHECK(reading.arguments({"--log-size=0"}).empty());
  CHECK(reading.settings.program.log_size == 0);
  CHECK(Reading().arguments({"--idle-exit=90"}) == "--idle-exit takes a duration, as 90s, 30m, 12h, 7d, not '90'");
  CHECK(Reading().arguments({"--lifetime=0s"}) == "--lifetime takes a duration, as 90s, 30m, 12h, 7d, not '0s'");
  CHECK(Reading().arguments({"--log-size=10G"}) == "--log-size takes bytes, or as 500k, 10M; 0: no limit, not '10G'");
  CHECK(Reading().arguments({"--log-keep=1001"}) == "--log-keep takes 0 to 1000 files, not '1001'");
}

TEST_CASE("with --stdio only the command line speaks of masters elsewhere and of keys") {
  Reading reading;
  CHECK(reading.arguments({"--stdio"}).empty());
  CHECK(reading.environment({{"REMSH_MASTER", "no address"}, {"REMSH_KEY", "w1.key"}, {"REMSH_NAME", "w1"}}).empty());
  CHECK(reading.settings.program.master.empty());
  CHECK(reading.settings.key.empty());
  CHECK(reading.settings.program.slave.name == "w1");
}

TEST_CASE("the reader knows which options were on the command line") {
  Reading reading(keygen_command());
  CHECK(reading.arguments({"list", "--label=a=b", "--keys=f", "--label=c=d"}).empty());
  std::vector<std::string_view> names;
  for (const Option* const option : reading.reader.on_command_line()) names.push_back(option->name);
  CHECK(names == std::vector<std::string_view>{"keys", "label"});
}

}  // namespace remsh::program
