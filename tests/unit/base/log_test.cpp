// Logs as text.
#include <remsh/base/log.hpp>

#include <doctest/doctest.h>

#include <regex>
#include <sstream>
#include <string>

using namespace remsh;

TEST_CASE("log_to() writes a line for each record of a level that is wanted") {
  std::ostringstream stream;
  const LogHook log = log_to(stream, LogLevel::warning);
  log({LogLevel::info, "listener", "w1", "not this"});
  log({LogLevel::warning, "listener", "w1", "does not answer"});
  log({LogLevel::error, "slave", "", "ends"});
  const std::string time = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4})";
  const std::regex lines(time + " warning listener: w1: does not answer\n" + time + " error slave: ends\n");
  CAPTURE(stream.str());
  CHECK(std::regex_match(stream.str(), lines));
}
