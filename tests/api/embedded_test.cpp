// A program that is a slave: run_slave_program() and run_embedded_slave().
#include "support/slaves.hpp"

#include <remsh/slave/embedded.hpp>

#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

namespace remsh::test {

TEST_CASE("a program that is no slave goes on") {
  std::string program = "program";
  std::string word = "--stdio";
  std::array<char*, 3> argv{program.data(), word.data(), nullptr};
  CHECK_FALSE(run_embedded_slave(1, argv.data()));
  CHECK_FALSE(run_embedded_slave(2, argv.data()));
}

TEST_CASE("a program whose last argument makes it a slave is one for a listener that starts it as a command") {
  const TempDir dir;
  SlaveCollection slaves;
  LocalSlaveListener listener(
      {.slave_collection = slaves, .command = {"/proc/self/exe", embedded_slave_argument}});  // as of another host
  const auto slave = listener.start_slave(dir / "a directory", "worker");
  CHECK(slave->set_cwd() == std::filesystem::canonical(dir / "a directory").string());
  CHECK(slave->call("echo", {{"key", "value"}}).get("key") == "value");
}

TEST_CASE("an embedded slave has no command line of its own") {
  const TempDir dir;
  SlaveCollection slaves;
  LocalSlaveListener listener(
      {.slave_collection = slaves, .command = {"/proc/self/exe", embedded_slave_argument, "--trace"}});
  const auto refused = thrown_by<Error>([&] { listener.start_slave(dir / "base"); });
  REQUIRE(refused);
  CHECK(refused->message().find("exit code 64") != std::string::npos);
  CHECK(refused->message().find("none of them gives '--trace'") != std::string::npos);
}

TEST_CASE("a slave program without a master has no other use for its standard input") {
  SlaveProgramOptions until_eof;
  until_eof.until_eof = true;
  SlaveProgramOptions key_from_input;
  key_from_input.key_from_input = true;
  for (const SlaveProgramOptions& options : {until_eof, key_from_input}) {
    const auto refused = thrown_by<Error>([&] { run_slave_program(options); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
  }
}

}  // namespace remsh::test
