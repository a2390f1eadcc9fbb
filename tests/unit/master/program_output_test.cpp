// What a program says, on its way to a log.
#include "master/program_output.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using Messages = std::vector<std::string>;

}  // namespace

TEST_CASE("output becomes one message for each line, whatever pieces it comes in") {
  ProgramOutput output;
  output.feed("one\ntw", begin_time);
  CHECK(output.take_messages() == Messages{"its program says: one"});
  output.feed("o\n\n\nthree", begin_time);
  CHECK(output.take_messages() == Messages{"its program says: two"});
  output.finish(begin_time);
  CHECK(output.take_messages() == Messages{"its program says: three"});
  CHECK(output.last_lines() == "one; two; three");
}

TEST_CASE("a carriage return ends a line, and other control characters are shown as they are written") {
  ProgramOutput output;
  output.feed("ssh: no route\r\n 10%\r 20%\r\x1b[31mred\n", begin_time);
  CHECK(output.last_lines() == "ssh: no route;  10%;  20%; \\x1B[31mred");
}

TEST_CASE("a long line is cut, and only the last lines are kept for an error") {
  ProgramOutput output;
  output.feed(std::string(10'000, 'x') + "\n", begin_time);
  CHECK(output.last_lines() == std::string(ProgramOutput::longest_line, 'x'));
  for (int i = 0; i < 10; ++i) output.feed(std::to_string(i) + "\n", begin_time);
  CHECK(output.last_lines() == "5; 6; 7; 8; 9");
}

TEST_CASE("more lines than a log can take are counted, until the next interval or the end") {
  ProgramOutput output;
  const auto say = [&output](std::size_t count, TimePoint when) {
    for (std::size_t i = 0; i < count; ++i) output.feed("y\n", when);
    return output.take_messages();
  };
  CHECK(say(ProgramOutput::lines_per_interval, begin_time).size() == ProgramOutput::lines_per_interval);
  CHECK(say(1000, begin_time + 1s) ==
        Messages{"its program says more than 200 lines in 10 s: the next ones are not logged"});
  CHECK(say(1000, begin_time + 9s).empty());
  CHECK(say(1, begin_time + ProgramOutput::interval) ==
        Messages{"2000 lines of its program were not logged", "its program says: y"});
  CHECK(say(ProgramOutput::lines_per_interval + 4, begin_time + 19s).size() == ProgramOutput::lines_per_interval);
  output.finish(begin_time + 19s);
  CHECK(output.take_messages() == Messages{"5 lines of its program were not logged"});
  CHECK(output.last_lines() == "y; y; y; y; y");
}

}  // namespace remsh::test
