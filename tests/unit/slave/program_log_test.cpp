// The log of a slave program: its lines, and its files.
#include "slave/program_log.hpp"

#include "support/has.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace remsh::test {

namespace {

LogRecord log_record(const std::string& message, LogLevel level = LogLevel::info) {
  return {level, "slave", "", message};
}

SlaveProgramOptions to_log_file(const TempDir& dir, std::uint64_t size, unsigned keep) {
  SlaveProgramOptions options;
  options.log_file = dir / "log";
  options.log_size = size;
  options.log_keep = keep;
  options.log_json = true;
  return options;
}

std::shared_ptr<ProgramLog> open_log(const SlaveProgramOptions& options) {
  auto log = ProgramLog::open(options);
  REQUIRE(log);
  return *log;
}

}  // namespace

TEST_CASE("a line of the log has the form that its reader wants") {
  const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));
  const LogRecord record{LogLevel::warning, "slave", "unix:/m", "say \"no\""};
  CHECK(has(log_line(LogForm::text, record, now, 42), " remsh-slave[42] warning: unix:/m: say \"no\"\n"));
  CHECK(log_line(LogForm::journal, record, now, 42) == "<4>unix:/m: say \"no\"\n");
  CHECK(log_line(LogForm::journal, {LogLevel::info, "slave", "", "ends"}, now, 42) == "<6>ends\n");
  CHECK(log_line(LogForm::json, record, now, 42) ==
        R"({"time":"2027-01-15T08:00:00Z","pid":42,"level":"warning","component":"slave","peer":"unix:/m",)"
        R"("message":"say \"no\""})"
        "\n");
  CHECK(priority_of(LogLevel::debug) == 7);
  CHECK(priority_of(LogLevel::error) == 3);
}

TEST_CASE("a descriptor leads to journald if the variable has its device and inode") {
  const TempDir dir;
  dir.write("file", "");
  const int file = ::open((dir / "file").c_str(), O_RDONLY | O_CLOEXEC);
  struct stat what {};
  REQUIRE(::fstat(file, &what) == 0);
  const std::string right = std::to_string(what.st_dev) + ":" + std::to_string(what.st_ino);
  CHECK(is_journal(file, right.c_str()));
  CHECK_FALSE(is_journal(file, (right + "1").c_str()));
  CHECK_FALSE(is_journal(file, "nonsense"));
  CHECK_FALSE(is_journal(file, nullptr));
  ::close(file);
}

TEST_CASE("a file that would be too large is renamed, and so are its predecessors, of which some are kept") {
  const TempDir dir;
  const auto log = open_log(to_log_file(dir, 1, 2));  // each line is too large to be the second one
  CHECK(mode_of(dir / "log") == 0600);
  for (const char* const message : {"one", "two", "three", "four"}) log->write(log_record(message));
  CHECK(has(dir.read("log"), "four"));
  CHECK(has(dir.read("log.1"), "three"));
  CHECK(has(dir.read("log.2"), "two"));
  CHECK(dir.count() == 3);
}

TEST_CASE("a file of which no predecessor is kept begins anew, and one without a limit grows") {
  const TempDir dir;
  const auto log = open_log(to_log_file(dir, 1, 0));
  for (const char* const message : {"first", "second"}) log->write(log_record(message));
  CHECK(has(dir.read("log"), "second"));
  CHECK_FALSE(has(dir.read("log"), "first"));
  const TempDir other;
  const auto endless = open_log(to_log_file(other, 0, 5));
  for (const char* const message : {"first", "second"}) endless->write(log_record(message));
  CHECK(has(other.read("log"), "first"));
  CHECK(has(other.read("log"), "second"));
  CHECK(dir.count() == 1);
}

TEST_CASE("what is in the file already stays, and counts for its size") {
  const TempDir dir;
  dir.write("log", "before\n");
  const auto log = open_log(to_log_file(dir, 10, 5));
  log->write(log_record("after"));
  CHECK(dir.read("log.1") == "before\n");
  CHECK(has(dir.read("log"), "after"));
}

TEST_CASE("a file that another program has renamed is left when the log is opened again") {
  const TempDir dir;
  const auto log = open_log(to_log_file(dir, 0, 5));
  log->write(log_record("one"));
  REQUIRE(std::rename((dir / "log").c_str(), (dir / "old").c_str()) == 0);
  log->write(log_record("two"));
  REQUIRE(log->reopen());
  log->write(log_record("three"));
  CHECK(has(dir.read("old"), "two"));
  CHECK_FALSE(has(dir.read("old"), "three"));
  CHECK(has(dir.read("log"), "three"));
}

TEST_CASE("a log that cannot be opened is a failure, and later goes on with the file that it has") {
  const TempDir dir;
  SlaveProgramOptions options = to_log_file(dir, 0, 5);
  options.log_file = dir / "none/log";
  const auto none = ProgramLog::open(options);
  REQUIRE_FALSE(none);
  CHECK(has(none.failure().message, "'" + (dir / "none/log") + "': No such file"));
  REQUIRE(::mkdir((dir / "none").c_str(), 0700) == 0);
  const auto log = open_log(options);
  REQUIRE(std::rename((dir / "none").c_str(), (dir / "moved").c_str()) == 0);
  CHECK_FALSE(log->reopen());
  log->write(log_record("still"));
  CHECK(has(dir.read("moved/log"), "still"));
}

TEST_CASE("lines that could not be written are counted, and the next one that can be says how many") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "log").c_str(), 0600) == 0);
  const int reader = ::open((dir / "log").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  const auto log = open_log(to_log_file(dir, 0, 5));
  const std::string large(3000, 'x');
  for (int i = 0; i < 100; ++i) log->write(log_record(large));  // more than a pipe holds
  std::string content(1 << 20U, '\0');
  while (::read(reader, content.data(), content.size()) > 0) {
  }
  log->write(log_record("the next"));
  const ssize_t count = ::read(reader, content.data(), content.size());
  REQUIRE(count > 0);
  content.resize(static_cast<std::size_t>(count));
  CHECK(has(content, " lines could not be written to the log"));
  CHECK(has(content, "the next"));
  ::close(reader);
}

TEST_CASE("the level can change while the log is written") {
  const TempDir dir;
  const auto log = open_log(to_log_file(dir, 0, 5));
  log->write(log_record("hidden", LogLevel::debug));
  log->set_level(LogLevel::debug);
  log->write(log_record("seen", LogLevel::debug));
  CHECK_FALSE(has(dir.read("log"), "hidden"));
  CHECK(has(dir.read("log"), "seen"));
}

}  // namespace remsh::test
