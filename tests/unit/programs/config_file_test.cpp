// Configuration files of remsh-slave.
#include "programs/config_file.hpp"

#include "support/has.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

namespace remsh::program {

using remsh::test::has;
using remsh::test::TempDir;

TEST_CASE("a line of a configuration file is a name and a value, and blanks around them do not count") {
  const auto lines = parse_config(
      "# comment = no\n"
      "\n"
      "name = w1\n"
      "  \tbasedir=/srv/a b = c \t\r\n"
      "   # = comment\n"
      "retry-max =\n"
      "key = # w1.key",
      "f");
  REQUIRE(lines);
  REQUIRE(lines->size() == 4);
  const std::vector<ConfigLine>& all = *lines;
  CHECK(all[0].number == 3);
  CHECK(all[0].name == "name");
  CHECK(all[0].value == "w1");
  CHECK(all[1].number == 4);
  CHECK(all[1].name == "basedir");
  CHECK(all[1].value == "/srv/a b = c");
  CHECK(all[2].name == "retry-max");
  CHECK(all[2].value.empty());
  CHECK(all[3].number == 7);
  CHECK(all[3].value == "# w1.key");
  CHECK(parse_config("", "f")->empty());
}

TEST_CASE("what is no line of a configuration file is refused with the file and the line") {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"name = w1\nonce"sv, "name = w1\n= w1"sv, "\n name w1"sv}) {
    CAPTURE(text);
    const auto lines = parse_config(text, "slave.conf");
    REQUIRE_FALSE(lines);
    CHECK(lines.failure().message == "slave.conf:2: is not NAME = VALUE, with the name of an option");
  }
  CHECK(parse_config("name = a\0b"sv, "f").failure().message == "f:1: has a zero byte");
}

TEST_CASE("a value can be written to a file if it is the same when it is read") {
  for (const std::string_view value : {"w1", "a b", "#x", "a=b"}) {
    CAPTURE(value);
    CHECK(is_config_value(value));
    CHECK(parse_config("name = " + std::string(value) + "\n", "f")->front().value == value);
  }
  for (const std::string_view value : {"", " a", "a\t", "a\nb", "a\r"}) CHECK_FALSE(is_config_value(value));
}

TEST_CASE("a configuration file that others can write, or that is none, is refused") {
  const TempDir dir;
  dir.write("f", "name = w1\n");
  const std::string path = dir / "f";
  for (const mode_t mode : {0600U, 0644U}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK(*read_config_file(path) == "name = w1\n");
  }
  for (const mode_t mode : {0620U, 0602U}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    const auto read = read_config_file(path);
    REQUIRE_FALSE(read);
    CHECK(has(read.failure().message, "chmod go-w '" + path + "'"));
  }
  CHECK(has(read_config_file(dir.path()).failure().message, "no regular file"));
  CHECK(has(read_config_file(dir / "none").failure().message, "No such file"));
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(has(read_config_file(dir / "fifo").failure().message, "no regular file"));
}

}  // namespace remsh::program
