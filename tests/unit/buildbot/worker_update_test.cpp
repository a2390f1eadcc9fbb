// Updates of a worker's commands in both protocols: those that are of use, those that are not, and those that are
// wrong.
#include "buildbot/worker_update.hpp"

#include "support/worker_events.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

namespace worker_update_test {

using namespace remsh;
using namespace remsh::buildbot;

namespace {

Value text(const char* words) { return Value::text(words); }
Value piece(const char* words) { return Value::list({text(words), Value::list({4}), Value::list({0.5})}); }

/// What is read of an update; empty if it is of no use.
std::string read(Dialect dialect, std::string_view name, Value value) {
  const auto update = read_update(dialect, name, std::move(value));
  if (!update) return update.failure().message;
  return *update ? test::in_words(**update) : std::string();
}

}  // namespace

TEST_CASE("an update with a number or a stat is the same in both protocols") {
  for (const Dialect dialect : {Dialect::msgpack, Dialect::pb}) {
    CHECK(read(dialect, "rc", -1) == "rc -1");
    CHECK(read(dialect, "elapsed", 0.5) == "elapsed 0.5");
    CHECK(read(dialect, "stat", Value::list({33188, 1})) == "stat [33188, 1]");
    CHECK(read(dialect, "stat", Value::tuple({33188, 1})) == "stat (33188, 1)");
  }
}

TEST_CASE("output is the text alone, and each protocol has its own form of it") {
  for (const char* const name : {"stdout", "stderr", "header"}) {
    CHECK(read(Dialect::pb, name, text("o")) == std::string(name) + " 'o'");
    CHECK(read(Dialect::msgpack, name, piece("o")) == std::string(name) + " 'o'");
    CHECK(read(Dialect::pb, name, piece("o")) == "it has sent output without its text");
    CHECK(read(Dialect::msgpack, name, text("o")) == "it has sent output without its text");
  }
  CHECK(read(Dialect::pb, "log", Value::tuple({text("l"), text("o")})) == "log of l 'o'");
  CHECK(read(Dialect::msgpack, "log", Value::list({text("l"), piece("o")})) == "log of l 'o'");
  const char* const no_text = "it has sent an update of a log file without its text";
  CHECK(read(Dialect::pb, "log", Value::list({text("l"), text("o")})) == no_text);
  CHECK(read(Dialect::msgpack, "log", Value::tuple({text("l"), piece("o")})) == no_text);
}

TEST_CASE("an update that is of no use is dropped, whatever it has") {
  for (const Dialect dialect : {Dialect::msgpack, Dialect::pb}) {
    CHECK(read(dialect, "files", Value::list({text("a")})).empty());
    CHECK(read(dialect, "", {}).empty());
    CHECK(read(dialect, "stdout\n", 5).empty());
    CHECK(read(dialect, "rc", text("0")).empty());
    CHECK(read(dialect, "rc", 0.0).empty());
    CHECK(read(dialect, "elapsed", 1).empty());
  }
}

}  // namespace worker_update_test
