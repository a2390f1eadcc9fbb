// header(): what is shown above the output of a command.
#include <doctest/doctest.h>
#include <remsh/operations/execute.hpp>

#include <chrono>

using namespace remsh;
using namespace std::chrono_literals;

TEST_CASE("the header of a command says what it was, where, with what, and how it ended") {
  ExecuteOptions options;
  options.env = {{"CC", "cc"}, {"CFLAGS", "-O2"}, {"LANG", {}}};
  options.prepend_env = {{"PATH", "/opt/bin"}};
  options.timeout = 600s;
  options.silence_timeout = 1500ms;
  options.user = "build";
  ExecuteResult result;
  result.signal = 15;
  result.timed_out = true;
  result.ran = 600'500ms;
  result.pid = 4711;
  result.dir = "/srv/w1/build";
  CHECK(header({"make", "-j8"}, options, result) ==
        "command: 'make' '-j8'\n"
        "environment: of the slave; CC, CFLAGS set; LANG unset; PATH prepended\n"
        "limits: 600 s, 1.5 s of silence\n"
        "directory: /srv/w1/build\n"
        "process: 4711, as user build\n"
        "ended: signal 15, timed out, after 600.5 s\n");
}

TEST_CASE("the header of a command has no secrets, no values of variables, and no line of others") {
  ExecuteOptions options;
  options.secrets = {"hunter2"};
  options.cwd = "of/hunter2";
  options.env = {{"TOKEN", "hunter2"}, {"A\nended", "x"}, {"of_hunter2", "x"}};
  options.user = "hunter2";
  options.clear_env = true;
  ExecuteResult result;
  result.exit_code = 0;
  CHECK(header({"login", "--password=hunter2", "a\nended: b"}, options, result) ==
        "command: 'login' '--password=***' 'a\\x0Aended: b'\n"
        "environment: empty; A\\x0Aended, TOKEN, of_*** set\n"
        "directory: of/***\n"
        "process: as user ***\n"
        "ended: exit code 0\n");
}
