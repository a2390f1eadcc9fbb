// The formatters for hosts that use fmt; here a host has headers alone, as the library has under another name.
#define FMT_HEADER_ONLY
#include <remsh/fmt.hpp>

#include <doctest/doctest.h>

#include <string>

namespace remsh::test {

TEST_CASE("the library's types are formatted as their text") {
  CHECK(fmt::format("{}", Errc::too_large) == "too_large");
  CHECK(fmt::format("{}", LogLevel::warning) == "warning");
  CHECK(fmt::format("{}", BoxError::empty_box) == "an empty box");
  CHECK(fmt::format("{}", FileType::directory) == "directory");
  CHECK(fmt::format("{}", FileInfo{.type = FileType::file, .size = 12, .mode = 0640}) == "file, 12 bytes, mode 0640");
  CHECK(fmt::format("{}", Box{{"a", "1"}, {"b", "x y"}}) == "a=1 b=\"x y\"");
}

TEST_CASE("how a command ended is told in words") {
  CHECK(fmt::format("{}", ExecuteResult{.exit_code = 3}) == "exit code 3");
  CHECK(fmt::format("{}", ExecuteResult{.signal = 9, .timed_out = true}) == "signal 9, timed out");
  CHECK(fmt::format("{}", ExecuteResult{.exit_code = 0, .left_background = true}) ==
        "exit code 0, left processes in the background");
}

TEST_CASE("they take width and fill as strings do") {
  CHECK(fmt::format("{:>8}|{:.<8}|", FileType::file, Errc::busy) == "    file|busy....|");
}

}  // namespace remsh::test
