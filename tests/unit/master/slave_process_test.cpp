// How a program is started to be a slave: its arguments and its environment.
#include "master/slave_process.hpp"

#include <doctest/doctest.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::test {

namespace {

using Strings = std::vector<Bytes>;

}  // namespace

TEST_CASE("options that no shell changes are passed on as they are") {
  const Strings plain{"--stdio", "--basedir=/srv/w-1/a.b_c", "--master=tls:host:9876"};
  CHECK(shell_proof(plain) == plain);
}

TEST_CASE("options that a shell would change are written so that it does not") {
  CHECK(shell_proof({"--name=w1", "--basedir=/a b/$(x)%41'\n~"}) ==
        Strings{"--percent-encoded", "--name=w1", "--basedir=/a%20b/%24%28x%29%2541%27%0A%7E"});
  for (int byte = 0; byte < 256; ++byte) {
    const Strings written = shell_proof({Bytes("--x=") + static_cast<char>(byte)});
    for (const char c : written.back()) {
      CAPTURE(byte);
      CHECK((std::isalnum(static_cast<unsigned char>(c)) != 0 || Bytes("/._-:,@+=%").find(c) != Bytes::npos));
    }
  }
}

TEST_CASE("the environment of a started program") {
  const Strings ours{"PATH=/bin", "LC_ALL=C", "SECRET=1", "HOME=/me", "REMSH_COMMAND=abc", "REMSH_EMBEDDED_SLAVE=1"};
  SlaveCommand command;
  CHECK(slave_environment(command, ours) == Strings{"PATH=/bin", "LC_ALL=C", "HOME=/me"});
  command.env = {{"HOME", std::nullopt}, {"LC_ALL", "de"}, {"X", ""}};
  CHECK(slave_environment(command, ours) == Strings{"PATH=/bin", "LC_ALL=de", "X="});
  command.inherit_env = true;
  CHECK(slave_environment(command, ours) == Strings{"PATH=/bin", "SECRET=1", "LC_ALL=de", "X="});
  command.inherit_env = false;
  command.clear_env = true;
  CHECK(slave_environment(command, ours) == Strings{"LC_ALL=de", "X="});
  command.env = {{"REMSH_COMMAND", "not ours"}, {"REMSH_EMBEDDED_SLAVE", "1"}};
  CHECK(slave_environment(command, ours).empty());
}

TEST_CASE("docs/security.md lists the variables that a started program gets") {
  const char* const documents = std::getenv("REMSH_DOCUMENTS");
  if (documents == nullptr) return;  // Meson says where they are
  std::ifstream file(std::string(documents) + "/security.md");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::size_t begin = text.find("## What a started slave is given");
  REQUIRE(begin != std::string::npos);
  const std::string section = text.substr(begin, text.find("\n## ", begin + 1) - begin);
  for (const std::string_view name : variables_passed_on()) {
    CAPTURE(name);
    CHECK(section.find("`" + std::string(name) + "`") != std::string::npos);
  }
}

}  // namespace remsh::test
