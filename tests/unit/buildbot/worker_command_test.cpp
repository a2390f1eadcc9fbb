// What Buildbot's workers are asked to do, against the tables of their commands' arguments in both protocols.
#include "buildbot/worker_command.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace worker_command_test {

using namespace remsh;
using namespace remsh::buildbot;
using namespace std::chrono_literals;

using Kind = WorkerCommand::Kind;

namespace {

/// The name and the arguments, as Python prints a call; in PB with the argument that is an object of ours.
std::string shown(const NamedArguments& named) {
  std::string all;
  for (const auto& [name, value] : named.arguments) {
    all += (all.empty() ? "" : ", ") + std::string(name) + "=" + to_string(value);
  }
  if (!named.file_argument.empty()) all += ", " + std::string(named.file_argument) + "=...";
  return std::string(named.name) + "(" + all + ")";
}

/// The value of an argument.
Value argument(const NamedArguments& named, std::string_view name) {
  for (const auto& [key, value] : named.arguments) {
    if (key == name) return value;
  }
  FAIL("there is no such argument");
  return {};
}

WorkerCommand shell(ShellOptions options) { return {.kind = Kind::shell, .path = "/w", .shell = std::move(options)}; }

bool is_name(std::string_view text) {
  return text.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") ==
         std::string_view::npos;
}

/// As a worker does it with each value of a variable: from left to right, each ${NAME} becomes what its own environment
/// has, or nothing. What was put in is not looked at again.
std::string replaced(std::string_view value, const std::map<std::string, std::string, std::less<>>& environment) {
  std::string result;
  while (!value.empty()) {
    const std::size_t end = value.starts_with("${") ? value.find('}') : std::string_view::npos;
    if (end != std::string_view::npos && is_name(value.substr(2, end - 2))) {
      const auto found = environment.find(value.substr(2, end - 2));
      if (found != environment.end()) result += found->second;
      value.remove_prefix(end + 1);
    } else {
      result += value.front();
      value.remove_prefix(1);
    }
  }
  return result;
}

}  // namespace

TEST_CASE("each command has its name and its arguments in both protocols") {
  struct Case {
    WorkerCommand command;
    const char* msgpack;
    const char* pb;
  };
  const std::string path = "/w/\u00e4 b'";
  const Case cases[] = {
      {{.kind = Kind::upload_file, .path = path},
       "upload_file(path=\"/w/\u00e4 b'\", maxsize=None, blocksize=262144, keepstamp=False)",
       "uploadFile(workdir='.', workersrc=\"/w/\u00e4 b'\", maxsize=None, blocksize=262144, keepstamp=False, "
       "writer=...)"},
      {{.kind = Kind::download_file, .path = path},
       "download_file(path=\"/w/\u00e4 b'\", maxsize=None, blocksize=262144, mode=None)",
       "downloadFile(workdir='.', workerdest=\"/w/\u00e4 b'\", maxsize=None, blocksize=262144, mode=None, "
       "reader=...)"},
      {{.kind = Kind::download_file, .path = "/f", .mode = 0750},
       "download_file(path='/f', maxsize=None, blocksize=262144, mode=488)",
       "downloadFile(workdir='.', workerdest='/f', maxsize=None, blocksize=262144, mode=488, reader=...)"},
      {{.kind = Kind::download_file, .path = "/f", .mode = 0},
       "download_file(path='/f', maxsize=None, blocksize=262144, mode=0)",
       "downloadFile(workdir='.', workerdest='/f', maxsize=None, blocksize=262144, mode=0, reader=...)"},
      {{.kind = Kind::mkdir, .path = path}, "mkdir(paths=[\"/w/\u00e4 b'\"])", "mkdir(dir=\"/w/\u00e4 b'\")"},
      {{.kind = Kind::rmdir, .path = path},
       "rmdir(paths=[\"/w/\u00e4 b'\"], timeout=None, logEnviron=False)",
       "rmdir(dir=\"/w/\u00e4 b'\", timeout=None, logEnviron=False)"},
      {{.kind = Kind::rmfile, .path = path}, "rmfile(path=\"/w/\u00e4 b'\")", "rmfile(path=\"/w/\u00e4 b'\")"},
      {{.kind = Kind::stat, .path = path}, "stat(path=\"/w/\u00e4 b'\")", "stat(file=\"/w/\u00e4 b'\")"},
  };
  for (const Case& one : cases) {
    CHECK(shown(named_arguments(Dialect::msgpack, one.command)) == one.msgpack);
    CHECK(shown(named_arguments(Dialect::pb, one.command)) == one.pb);
  }
}

TEST_CASE("a program has the same arguments in both protocols") {
  const WorkerCommand plain = shell({.args = {"true"}});
  const std::string told =
      "shell(workdir='/w', command=['true'], env={}, want_stdout=True, want_stderr=True, logfiles={}, timeout=None, "
      "maxTime=None, sigtermTime=None, interruptSignal='KILL', initial_stdin=None, usePTY=False, logEnviron=False)";
  CHECK(shown(named_arguments(Dialect::msgpack, plain)) == told);
  CHECK(shown(named_arguments(Dialect::pb, plain)) == told);

  const WorkerCommand full = shell({.args = {"/bin/sh", "-c", "echo ${A} '\n'", ""},
                                    .env = {{"A", "x"}, {"B", std::nullopt}, {"C", ""}},
                                    .logs = {{"l", "/w/l"}, {"m", "/w/m"}},
                                    .timeout = 1500ms,
                                    .silence = 250ms,
                                    .kill_after = 3s});
  const std::string all =
      "shell(workdir='/w', command=['/bin/sh', '-c', \"echo ${A} '\\n'\", ''], env={'A': 'x', 'B': None, 'C': ''}, "
      "want_stdout=True, want_stderr=True, logfiles={'l': {'filename': '/w/l', 'follow': False}, "
      "'m': {'filename': '/w/m', 'follow': False}}, timeout=0.25, maxTime=1.5, sigtermTime=3.0, "
      "interruptSignal='KILL', initial_stdin=None, usePTY=False, logEnviron=False)";
  CHECK(shown(named_arguments(Dialect::msgpack, full)) == all);
  CHECK(shown(named_arguments(Dialect::pb, full)) == all);
}

TEST_CASE("a time of no length before the last signal is not the same as none") {
  CHECK(argument(named_arguments(Dialect::msgpack, shell({.args = {}, .kill_after = 0ms})), "sigtermTime") ==
        Value(0.0));
  CHECK(argument(named_arguments(Dialect::pb, shell({})), "sigtermTime") == Value());
}

TEST_CASE("the value of a variable is what was given, whatever the worker replaces in it") {
  const std::map<std::string, std::string, std::less<>> environment{{"HOME", "/home/w"}, {"X", "${HOME}"}};
  REQUIRE(replaced("a${HOME}b${NONE}c${}d${-}e", environment) == "a/home/wbcd${-}e");  // the replacement works
  const char* const values[] = {
      "",       "x",         "$",          "$$",          "{",       "}",       "$HOME",         "${HOME}",
      "${",     "${}",       "$${}",       "$${HOME}",    "${${X}}", "$${}{X}", "$${}{",         "${HOME}${X}${",
      "${-}",   "${HOME",    "$ {HOME}",   "a${NONE}b",   "$$$${X}", "${X}$",   "{HOME}${HOME}", "${HO${X}ME}",
      "\u00e4", "${\u00e4}", "$\n{HOME}$", "${HOME\n}${",
  };
  for (const std::string value : values) {
    CAPTURE(value);
    const WorkerCommand command = shell({.args = {}, .env = {{"V", value}}});
    for (const NamedArguments& named :
         {named_arguments(Dialect::msgpack, command), named_arguments(Dialect::pb, command)}) {
      const Value env = argument(named, "env");
      const Value* const sent = env.find(Value::text("V"));
      REQUIRE(sent != nullptr);
      CHECK(replaced(sent->get_if<Value::Text>()->text, environment) == value);
    }
  }
}

TEST_CASE("the words of a program, which a worker leaves alone, are sent as they are") {
  const NamedArguments named = named_arguments(Dialect::pb, shell({.args = {"echo", "${HOME}", "$${}{X}"}}));
  CHECK(to_string(argument(named, "command")) == "['echo', '${HOME}', '$${}{X}']");
}

}  // namespace worker_command_test
