// Terminals: their size, what is typed, and their end.
#include "os/terminal.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

using namespace remsh;

namespace {

/// Reads from a descriptor until there are as many bytes.
std::string read_bytes(int descriptor, std::size_t count) {
  std::string text;
  while (text.size() < count) {
    pollfd watched{descriptor, POLLIN, 0};
    if (::poll(&watched, 1, 60'000) != 1) return text;
    std::array<char, 256> buffer{};
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

WindowSize size_seen_at(int descriptor) {
  winsize window{};
  REQUIRE(::ioctl(descriptor, TIOCGWINSZ, &window) == 0);
  return {.columns = window.ws_col, .rows = window.ws_row};
}

}  // namespace

TEST_CASE("a size is two numbers with a cross between") {
  const auto size = window_size("132x43");
  REQUIRE(size);
  CHECK(size->columns == 132);
  CHECK(size->rows == 43);
  for (const BytesView text : {"", "80", "x", "80x", "x24", "0x24", "80x0", "80x65536", "80x24x1", "-1x24", "80 24"}) {
    CAPTURE(text);
    CHECK_FALSE(window_size(text));
  }
}

TEST_CASE("a terminal has a size, which can be changed") {
  const auto ends = open_terminal({.columns = 100, .rows = 30});
  REQUIRE(ends.ok());
  CHECK(::isatty(ends->theirs.get()) == 1);
  CHECK(size_seen_at(ends->theirs.get()).columns == 100);
  CHECK(size_seen_at(ends->theirs.get()).rows == 30);
  CHECK(resize_terminal(ends->ours.get(), {.columns = 90, .rows = 20}).ok());
  CHECK(size_seen_at(ends->theirs.get()).columns == 90);
  CHECK(size_seen_at(ends->theirs.get()).rows == 20);
}

TEST_CASE("what is typed is echoed and read by lines, and the end of typing ends it, also after an unfinished line") {
  auto ends = open_terminal({.columns = 80, .rows = 24});
  REQUIRE(ends.ok());
  const int ours = ends->ours.get();
  const int theirs = ends->theirs.get();
  std::array<char, 16> buffer{};
  REQUIRE(::write(ours, "ab\n", 3) == 3);
  CHECK(::read(theirs, buffer.data(), buffer.size()) == 3);
  CHECK(read_bytes(ours, 4) == "ab\r\n");

  const Bytes after_line = end_of_typing(ours, false);
  REQUIRE(::write(ours, after_line.data(), after_line.size()) == static_cast<ssize_t>(after_line.size()));
  CHECK(::read(theirs, buffer.data(), buffer.size()) == 0);

  REQUIRE(::write(ours, "cd", 2) == 2);
  const Bytes in_line = end_of_typing(ours, true);
  REQUIRE(::write(ours, in_line.data(), in_line.size()) == static_cast<ssize_t>(in_line.size()));
  CHECK(::read(theirs, buffer.data(), buffer.size()) == 2);
  CHECK(::read(theirs, buffer.data(), buffer.size()) == 0);
}

TEST_CASE("our end does not block, and fails when nobody has the terminal open any more") {
  auto ends = open_terminal({.columns = 80, .rows = 24});
  REQUIRE(ends.ok());
  std::array<char, 16> buffer{};
  CHECK(::read(ends->ours.get(), buffer.data(), buffer.size()) == -1);
  CHECK(errno == EAGAIN);
  ends->theirs.reset();
  CHECK(::read(ends->ours.get(), buffer.data(), buffer.size()) == -1);
  CHECK(errno == EIO);
}
