// Requests and replies of each operation, to and from boxes.
#include "operations/operations.hpp"

#include "support/changed_box.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <remsh/connection/box_codec.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using remsh::test::from_hex;
using remsh::test::to_hex;
using remsh::test::with;

namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;

/// What comes of a box after it has been taken apart and put together again: the same, or the failure's message.
template <class T>
std::string there_and_back(const Box& box) {
  const auto parsed = from_box<T>(box);
  if (!parsed.ok()) return parsed.failure().message;
  return to_box(*parsed) == box ? "same" : "other";
}

template <class T>
Failure parse_failure(const Box& box) {
  auto parsed = from_box<T>(box);
  REQUIRE_FALSE(parsed.ok());
  return std::move(parsed.failure());
}

void check_bytes(const Box& box, BytesView recorded) { CHECK(to_hex(encode(box)) == to_hex(from_hex(recorded))); }

struct Malformed {
  Box box;
  std::string key;
};

/// Every one of them must fail with the BAD_ARGUMENT of the wire and name its key.
template <class T>
void check_malformed(const std::vector<Malformed>& cases) {
  for (const Malformed& one : cases) {
    const Bytes bytes = one.box.empty() ? Bytes() : encode(one.box);
    CAPTURE(one.key);
    CAPTURE(bytes);
    const auto parsed = from_box<T>(one.box);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.failure().code == Errc::invalid_argument);
    CHECK(parsed.failure().message.starts_with("'" + one.key + "' "));
  }
}

}  // namespace

TEST_CASE("a list is its elements, each followed by a zero byte") {
  CHECK(join_list({}) == "");
  CHECK(join_list({""}) == "\0"s);
  CHECK(join_list({"a", "", "bc"}) == "a\0\0bc\0"s);
}

TEST_CASE("a list comes apart as it was joined") {
  for (const std::vector<Bytes>& elements :
       {std::vector<Bytes>{}, {""}, {"", ""}, {"a"}, {"a", "", "bc"}, {"\xff\n", Bytes(70000, 'x')}}) {
    const auto parsed = split_list(join_list(elements));
    REQUIRE(parsed.ok());
    CHECK(*parsed == elements);
  }
}

TEST_CASE("a list without its last zero byte is no list") {
  CHECK_FALSE(split_list("a").ok());
  CHECK_FALSE(split_list("a\0b"s).ok());
}

TEST_CASE("a decimal number has one spelling") {
  CHECK(BytesView(Decimal(0)) == "0");
  CHECK(BytesView(Decimal(std::numeric_limits<std::uint64_t>::max())) == "18446744073709551615");
  CHECK(from_decimal("0") == 0U);
  CHECK(from_decimal("10") == 10U);
  CHECK(from_decimal("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
  for (const BytesView text : {"", "00", "01", "-1", "-0", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "a",
                               "18446744073709551616", "99999999999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(from_decimal(text).has_value());
  }
  CHECK_FALSE(from_decimal("1\0"s).has_value());
}

TEST_CASE("what a peer may send comes out of the box as it went in") {
  CHECK(there_and_back<SetCwd::Request>({}) == "same");
  CHECK(there_and_back<SetCwd::Request>({{"path", ""}}) == "same");
  CHECK(there_and_back<SetCwd::Request>({{"path", "a b/\xff"}}) == "same");
  CHECK(there_and_back<SetCwd::Reply>({{"path", "/srv"}}) == "same");

  CHECK(there_and_back<Getenv::Reply>({{"env", ""}}) == "same");
  CHECK(there_and_back<Getenv::Reply>({{"env", "A=\0B==1=\0PATH=/bin:/usr\0"s}}) == "same");
  CHECK(there_and_back<ReadInfo::Reply>({{"files", ""}}) == "same");
  CHECK(there_and_back<ReadInfo::Reply>({{"files", "admin\0joe\n\0host\0\0"s}}) == "same");

  CHECK(there_and_back<Shutdown::Request>({{"within", "0"}}) == "same");
  CHECK(there_and_back<Shutdown::Request>({{"reason", "r"}, {"restart", "1"}, {"within", "1000000000000"}}) == "same");
  CHECK(there_and_back<Print::Request>({{"message", ""}}) == "same");
  CHECK(there_and_back<Print::Request>({{"message", "a\0\xff\n"s}}) == "same");
  CHECK(there_and_back<LogTail::Request>({{"lines", "1000"}}) == "same");
  CHECK(there_and_back<LogTail::Reply>({{"lines", "a b\0c\0"s}}) == "same");
  CHECK(there_and_back<LogTail::Reply>({}) == "same");
  check_malformed<LogTail::Request>({{{}, "lines"}, {{{"lines", "0"}}, "lines"}, {{{"lines", "1001"}}, "lines"}});
  CHECK(there_and_back<ListOperations::Reply>({{"names", "ping\0stat\0"s}}) == "same");
  CHECK(there_and_back<ReadHostFacts::Reply>({{"clock", "-1"}, {"cpus", "0"}}) == "same");
  CHECK(there_and_back<ReadHostFacts::Reply>({{"clock", "1700000000123456789"},
                                              {"cpus", "64"},
                                              {"disk_free", "0"},
                                              {"disk_total", "18446744073709551615"},
                                              {"hostname", "w1"},
                                              {"load1", "0"},
                                              {"load15", "1"},
                                              {"load5", "2"},
                                              {"machine", "x86_64"},
                                              {"memory_available", "3"},
                                              {"memory_total", "4"},
                                              {"os", "Debian"},
                                              {"release", "6.1"},
                                              {"software", std::string(255, 'x')},
                                              {"swap_free", "5"},
                                              {"swap_total", "6"},
                                              {"uptime", "7"}}) == "same");

  CHECK(there_and_back<Mkdir::Request>({{"path", "d"}}) == "same");
  CHECK(there_and_back<Mkdir::Request>({{"mode", "0"}, {"path", "d"}}) == "same");
  CHECK(there_and_back<Mkdir::Request>({{"mode", "7777"}, {"path", "d"}}) == "same");
  CHECK(there_and_back<Remove::Request>({{"path", "d"}}) == "same");
  CHECK(there_and_back<TwoPaths>({{"from", "a"}, {"to", "b"}}) == "same");
  CHECK(there_and_back<TwoPaths>({{"from", "a"}, {"overwrite", "1"}, {"to", "b"}}) == "same");
  CHECK(there_and_back<TwoPaths>({{"from", "a"}, {"no_sync", "1"}, {"to", "b"}}) == "same");

  CHECK(there_and_back<Stat::Request>({{"path", "/"}}) == "same");
  CHECK(there_and_back<Stat::Request>({{"nofollow", "1"}, {"path", "/"}}) == "same");
  CHECK(there_and_back<Stat::Reply>({{"type", "missing"}}) == "same");
  for (const BytesView type :
       {"file", "directory", "symlink", "fifo", "socket", "character-device", "block-device", "unknown"}) {
    CAPTURE(type);
    CHECK(there_and_back<Stat::Reply>({{"mode", "644"}, {"mtime", "1"}, {"size", "7"}, {"type", type}}) == "same");
  }
  for (const BytesView mtime : {"0", "-1", "1700000000123456789", "9223372036854775807", "-9223372036854775808"}) {
    CAPTURE(mtime);
    CHECK(there_and_back<Stat::Reply>({{"mode", "0"}, {"mtime", mtime}, {"size", "0"}, {"type", "file"}}) == "same");
  }
  CHECK(there_and_back<Stat::Reply>(
            {{"mode", "7777"}, {"mtime", "0"}, {"size", "18446744073709551615"}, {"type", "file"}}) == "same");

  CHECK(there_and_back<Execute::Request>({{"args", "true\0"s}, {"kill_after", "2000"}}) == "same");
  CHECK(there_and_back<Execute::Request>({{"args", "sh\0-c\0\0"s},
                                          {"at", "1"},
                                          {"clear_env", "1"},
                                          {"cwd", "/tmp"},
                                          {"env", "A=1\0B=\0"s},
                                          {"err", "merge"},
                                          {"group", "memory=1\0pids=2\0cpu=3\0"s},
                                          {"header", "1"},
                                          {"in", "1"},
                                          {"kill_after", "0"},
                                          {"limits", "nofile=64\0core=0:unlimited\0"s},
                                          {"logs", "a\0start\0b/c\0changed\0/d\0end\0"s},
                                          {"max_bytes", "0"},
                                          {"max_lines", "18446744073709551615"},
                                          {"nice", "-20"},
                                          {"out", "stream"},
                                          {"prepend", "PATH=/a:/b\0"s},
                                          {"pty", "80x24"},
                                          {"secrets", "hunter2\0x y\0"s},
                                          {"silence", "1"},
                                          {"stop_signal", "SIGINT"},
                                          {"timeout", "1000000000000"},
                                          {"umask", "27"},
                                          {"user", "nobody"},
                                          {"unset", "C\0D\0"s}}) == "same");
  CHECK(there_and_back<Execute::Request>({{"args", "true\0"s}, {"err", "stream"}, {"kill_after", "1"}}) == "same");
  for (const BytesView exit : {"0", "1", "255"}) CHECK(there_and_back<Execute::Reply>({{"exit", exit}}) == "same");
  CHECK(there_and_back<Execute::Reply>({{"background", "1"}, {"signal", "9"}, {"timed_out", "1"}}) == "same");
  CHECK(there_and_back<Execute::Reply>({{"signal", "15"}, {"silent", "1"}}) == "same");
  CHECK(there_and_back<Execute::Reply>(
            {{"dir", "/srv"}, {"exit", "0"}, {"pid", "4711"}, {"log_dropped", join_list({"0", "1"})}, {"log_errors", "2\0ENOENT no such file\0"s}}) ==
        "same");
  CHECK(there_and_back<Execute::Reply>(
            {{"core", "1"}, {"err_dropped", "1"}, {"out_dropped", "18446744073709551615"}, {"signal", "6"}}) == "same");

  CHECK(there_and_back<SetBuilders::Request>({}) == "same");
  CHECK(there_and_back<SetBuilders::Request>({{"directories", "a\0b/c\0"s}}) == "same");
  CHECK(there_and_back<SetBuilders::Reply>({{"others", "old\0"s}}) == "same");
  CHECK(there_and_back<Interrupt::Request>({{"target", "7"}}) == "same");
  CHECK(there_and_back<Interrupt::Request>({{"target", "0123456789abcdef"}, {"why", "too\nslow"}}) == "same");
  CHECK(there_and_back<Signal::Request>({{"number", "64"}, {"target", "7"}}) == "same");
  CHECK(there_and_back<RunningReply>({{"running", "1"}}) == "same");
  CHECK(there_and_back<RunningReply>({}) == "same");
  CHECK(there_and_back<Resize::Request>({{"columns", "80"}, {"rows", "65535"}, {"target", "7"}}) == "same");
  CHECK(there_and_back<Execute::Reply>({{"interrupted", "1"}, {"signal", "15"}}) == "same");
  CHECK(there_and_back<Execute::Reply>({{"ended_background", "1"}, {"exit", "0"}}) == "same");
  CHECK(there_and_back<Send::Request>({{"mode", "644"}, {"path", "f"}}) == "same");
  CHECK(there_and_back<Send::Request>({{"mode", "0"}, {"overwrite", "1"}, {"path", "f"}}) == "same");
  CHECK(there_and_back<Send::Request>({{"mode", "0"}, {"no_sync", "1"}, {"path", "f"}}) == "same");
  CHECK(there_and_back<Send::Reply>({{"bytes", "0"}}) == "same");
  CHECK(there_and_back<Fetch::Request>({{"path", "f"}}) == "same");
  CHECK(there_and_back<Fetch::Reply>({{"bytes", "18446744073709551615"}, {"mode", "755"}}) == "same");
}

TEST_CASE("what is said in a box is what is meant") {
  SUBCASE("set_cwd: absent, empty and a path are three things") {
    CHECK_FALSE(from_box<SetCwd::Request>({}).value().path.has_value());
    CHECK(from_box<SetCwd::Request>({{"path", ""}}).value().path == "");
    CHECK(from_box<SetCwd::Request>({{"path", "a"}}).value().path == "a");
  }
  SUBCASE("getenv: the first equals sign ends the name") {
    const std::map<Bytes, Bytes> expected{{"A", ""}, {"B", "=1="}};
    CHECK(from_box<Getenv::Reply>({{"env", "B==1=\0A=\0"s}}).value().env == expected);
  }
  SUBCASE("info: a name and a value by turns") {
    const std::map<Bytes, Bytes> expected{{"admin", "joe\n"}, {"empty", ""}};
    CHECK(from_box<ReadInfo::Reply>({{"files", "empty\0\0admin\0joe\n\0"s}}).value().files == expected);
  }
  SUBCASE("mkdir: the mode is octal, with or without a leading zero") {
    CHECK_FALSE(from_box<Mkdir::Request>({{"path", "d"}}).value().mode.has_value());
    CHECK(from_box<Mkdir::Request>({{"path", "d"}, {"mode", "755"}}).value().mode == 0755U);
    CHECK(from_box<Mkdir::Request>({{"path", "d"}, {"mode", "0644"}}).value().mode == 0644U);
  }
  SUBCASE("rename and copy: from is not to") {
    const auto request = from_box<TwoPaths>({{"from", "a"}, {"to", "b"}}).value();
    CHECK(request.from == "a");
    CHECK(request.to == "b");
    CHECK_FALSE(request.overwrite);
    CHECK(request.durable);
  }
  SUBCASE("stat: all that a file is") {
    const auto reply =
        from_box<Stat::Reply>({{"type", "fifo"}, {"size", "12"}, {"mode", "1640"}, {"mtime", "-5"}}).value();
    FileInfo expected;
    expected.type = FileType::fifo;
    expected.size = 12;
    expected.mode = 01640;
    expected.mtime -= 5ns;
    CHECK(reply.info == expected);
    CHECK_FALSE(from_box<Stat::Reply>({{"type", "missing"}}).value().info.has_value());
  }
  SUBCASE("execute: what is absent has its default") {
    const auto command = from_box<Execute::Request>({{"args", "make\0-j8\0"s}}).value();
    CHECK(command.args == std::vector<Bytes>{"make", "-j8"});
    CHECK(command.cwd.empty());
    CHECK(command.set_env.empty());
    CHECK(command.unset_env.empty());
    CHECK_FALSE(command.clear_env);
    CHECK(command.timeout == 0ms);
    CHECK(command.kill_after == 2000ms);
    CHECK_FALSE(command.in);
    CHECK(command.out == OutputMode::discard);
    CHECK(command.err == OutputMode::discard);
  }
  SUBCASE("execute: how it ended") {
    const auto exited = from_box<Execute::Reply>({{"exit", "3"}}).value();
    CHECK(exited.exit_code == 3);
    CHECK_FALSE(exited.signal.has_value());
    const auto killed = from_box<Execute::Reply>({{"signal", "9"}, {"timed_out", "1"}}).value();
    CHECK_FALSE(killed.exit_code.has_value());
    CHECK(killed.signal == 9);
    CHECK(killed.timed_out);
    CHECK_FALSE(killed.background);
    CHECK_FALSE(killed.ran);
    CHECK(killed.used == ResourceUse{});
  }
  SUBCASE("execute: what it used") {
    const auto ended = from_box<Execute::Reply>({{"exit", "0"},
                                                 {"ran", "1500000"},
                                                 {"user_time", "9223372036854775807"},
                                                 {"system_time", "0"},
                                                 {"peak_memory", "18446744073709551615"}})
                           .value();
    CHECK(ended.ran == 1500ms);
    CHECK(ended.used.user_time == std::chrono::microseconds::max());
    CHECK(ended.used.system_time == 0us);
    CHECK(ended.used.peak_memory == 18446744073709551615U);
    for (const BytesView key : {"ran", "user_time", "system_time"}) {
      CAPTURE(key);
      CHECK_FALSE(from_box<Execute::Reply>({{"exit", "0"}, {Bytes(key), "9223372036854775808"}}));
      CHECK_FALSE(from_box<Execute::Reply>({{"exit", "0"}, {Bytes(key), "-1"}}));
    }
    CHECK_FALSE(from_box<Execute::Reply>({{"exit", "0"}, {"peak_memory", "1.5"}}));
  }
}

TEST_CASE("a request with an argument that is not known is refused") {
  CHECK(request_from_box<Remove::Request>({{"path", "a"}}).ok());
  const auto unknown = request_from_box<Remove::Request>({{"force", "yes"}, {"path", "a"}});
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.failure().code == Errc::invalid_argument);
  CHECK(unknown.failure().message == "'force' is an argument that this slave does not know");
  CHECK(request_from_box<Remove::Request>({{"force", "yes"}}).failure().message == "'path' is missing");
  Box many{{"path", "a"}};
  for (int i = 0; i < 100; ++i) many.set("x" + std::to_string(i), "");
  CHECK(request_from_box<Remove::Request>(many).failure().message ==
        "'x0' is an argument that this slave does not know");
}

TEST_CASE("results that are not known are ignored") {
  CHECK(from_box<Stat::Reply>({{"type", "missing"}, {"inode", "7"}}).ok());
  CHECK(from_box<Execute::Reply>({{"exit", "0"}, {"rusage", "?"}}).ok());
}

TEST_CASE("time limits beyond any clock are sent as the longest that may be") {
  Execute::Request command;
  command.args = {"true"};
  command.timeout = std::chrono::milliseconds::max();
  command.kill_after = -1ms;
  const auto parsed = from_box<Execute::Request>(to_box(command));
  REQUIRE(parsed.ok());
  CHECK(parsed->timeout == 1'000'000'000'000ms);
  CHECK(parsed->kill_after == 0ms);
}

TEST_CASE("a failure says which key and what of it") {
  CHECK(parse_failure<Remove::Request>({}).message == "'path' is missing");
  CHECK(parse_failure<Mkdir::Request>({{"path", "d"}, {"mode", "8"}}).message ==
        "'mode' is not a mode of one to four octal digits");
  CHECK(parse_failure<Execute::Reply>({{"exit", "256"}}).message == "'exit' is not from 0 to 255");
}

TEST_CASE("malformed settings of a command are refused") {
  const Box good{{"args", "true\0"s}, {"kill_after", "1"}};
  check_malformed<Execute::Request>({{with(good, "nice", "20"), "nice"},
                                     {with(good, "nice", "-21"), "nice"},
                                     {with(good, "nice", "+1"), "nice"},
                                     {with(good, "nice", "-0"), "nice"},
                                     {with(good, "umask", "8"), "umask"},
                                     {with(good, "limits", "nofile\0"s), "limits"},
                                     {with(good, "prepend", "=x\0"s), "prepend"},
                                     {with(good, "secrets", ""), "secrets"},
                                     {with(good, "secrets", "a\0\0"s), "secrets"},
                                     {with(good, "stop_signal", ""), "stop_signal"},
                                     {with(good, "max_lines", "-1"), "max_lines"},
                                     {with(good, "logs", ""), "logs"},
                                     {with(good, "logs", "a\0"s), "logs"},
                                     {with(good, "logs", "a\0start"s), "logs"},
                                     {with(good, "logs", "\0start\0"s), "logs"},
                                     {with(good, "logs", "a\0Start\0"s), "logs"},
                                     {with(good, "at", "0"), "at"}});
  Bytes many;
  for (int i = 0; i < 64; ++i) many += "a\0end\0"s;
  CHECK(there_and_back<Execute::Request>(with(good, "logs", many)) == "same");
  check_malformed<Execute::Request>({{with(good, "logs", many + "a\0end\0"s), "logs"}});
  check_malformed<Execute::Reply>({{{{"exit", "0"}, {"log_errors", "1\0"s}}, "log_errors"},
                                   {{{"exit", "0"}, {"log_dropped", join_list({"1", "x", "1", "y"})}}, "log_dropped"}});
}

TEST_CASE("malformed paths and flags are refused") {
  const Bytes zero = "a\0b"s;
  check_malformed<SetCwd::Request>({{{{"path", zero}}, "path"}});
  check_malformed<SetCwd::Reply>(
      {{{}, "path"}, {{{"path", ""}}, "path"}, {{{"path", "srv"}}, "path"}, {{{"path", "/a\0"s}}, "path"}});
  check_malformed<Remove::Request>({{{}, "path"}, {{{"path", ""}}, "path"}, {{{"path", zero}}, "path"}});
  check_malformed<Fetch::Request>({{{}, "path"}, {{{"path", ""}}, "path"}, {{{"path", zero}}, "path"}});

  const Box two{{"from", "a"}, {"to", "b"}};
  check_malformed<TwoPaths>({{with(two, "from", {}), "from"},
                             {with(two, "to", {}), "to"},
                             {with(two, "from", ""), "from"},
                             {with(two, "to", zero), "to"},
                             {with(two, "overwrite", ""), "overwrite"},
                             {with(two, "overwrite", "0"), "overwrite"},
                             {with(two, "overwrite", "true"), "overwrite"},
                             {with(two, "overwrite", "11"), "overwrite"},
                             {with(two, "no_sync", "0"), "no_sync"}});
  check_malformed<Stat::Request>({{{{"nofollow", "1"}}, "path"}, {{{"nofollow", "2"}, {"path", "a"}}, "nofollow"}});
}

TEST_CASE("malformed entries of directories are refused") {
  const Box good{{"mode", "644"}, {"mtime", "0"}, {"name", "a"}, {"size", "1"}, {"type", "file"}};
  CHECK(there_and_back<List::Entry>(good) == "same");
  for (const Bytes& name : {""s, "."s, ".."s, "a/b"s, "/"s, "a\0"s}) {
    check_malformed<List::Entry>({{with(good, "name", name), "name"}});
  }
  check_malformed<List::Entry>({{with(good, "name", {}), "name"}, {with(good, "type", {}), "type"}});
}

TEST_CASE("malformed modes and numbers are refused") {
  const Box mkdir{{"path", "d"}};
  for (const char* mode : {"", "8", "10000", "00644", "-1", "+7", "0x1", " 7", "7 ", "rwx"}) {
    check_malformed<Mkdir::Request>({{with(mkdir, "mode", mode), "mode"}});
  }
  const Box send{{"mode", "644"}, {"path", "f"}};
  check_malformed<Send::Request>({{with(send, "mode", {}), "mode"},
                                  {with(send, "mode", "9"), "mode"},
                                  {with(send, "path", {}), "path"},
                                  {with(send, "overwrite", "yes"), "overwrite"},
                                  {with(send, "no_sync", ""), "no_sync"}});
  for (const char* bytes : {"", "-1", "01", "18446744073709551616", "1k"}) {
    check_malformed<Send::Reply>({{{{"bytes", bytes}}, "bytes"}});
    check_malformed<Fetch::Reply>({{{{"bytes", bytes}, {"mode", "644"}}, "bytes"}});
  }
  check_malformed<Send::Reply>({{{}, "bytes"}});
  check_malformed<Fetch::Reply>({{{{"mode", "644"}}, "bytes"}, {{{"bytes", "1"}}, "mode"}});
}

TEST_CASE("malformed lists are refused") {
  for (const Bytes& env : {"A=1"s, "A\0"s, "=1\0"s, "\0"s, "A=1\0A=2\0"s}) {
    check_malformed<Getenv::Reply>({{{{"env", env}}, "env"}});
  }
  check_malformed<Getenv::Reply>({{{}, "env"}});
  for (const Bytes& files : {"a"s, "a\0"s, "\0v\0"s, "a\0v\0a\0w\0"s, "a\0v\0b\0"s}) {
    check_malformed<ReadInfo::Reply>({{{{"files", files}}, "files"}});
  }
  check_malformed<ReadInfo::Reply>({{{}, "files"}});
  check_malformed<Shutdown::Request>({{{{"within", "1s"}}, "within"},
                                      {{{"within", "1000000000001"}}, "within"},
                                      {{{"within", "1"}, {"restart", "0"}}, "restart"},
                                      {{{"reason", Bytes(1025, 'r')}}, "reason"}});
  check_malformed<Print::Request>({{{}, "message"}});
  check_malformed<ListOperations::Reply>({{{}, "names"}, {{{"names", ""}}, "names"}, {{{"names", "ping"}}, "names"}});
  const Box facts{{"clock", "0"}, {"cpus", "1"}};
  check_malformed<ReadHostFacts::Reply>({{{{"cpus", "1"}}, "clock"},
                                         {{{"clock", "0"}}, "cpus"},
                                         {with(facts, "clock", "now"), "clock"},
                                         {with(facts, "load1", "0.52"), "load1"},
                                         {with(facts, "os", Bytes(1025, 'x')), "os"},
                                         {with(facts, "software", Bytes(1025, 'x')), "software"},
                                         {with(facts, "uptime", "-1"), "uptime"}});
}

TEST_CASE("malformed answers to stat are refused") {
  const Box good{{"mode", "644"}, {"mtime", "0"}, {"size", "1"}, {"type", "file"}};
  std::vector<Malformed> cases{{{}, "type"},
                               {with(good, "type", {}), "type"},
                               {with(good, "type", ""), "type"},
                               {with(good, "type", "File"), "type"},
                               {with(good, "type", "missing"), "mode"},
                               {{{"size", "1"}, {"type", "missing"}}, "size"},
                               {{{"mtime", "1"}, {"type", "missing"}}, "mtime"},
                               {with(good, "size", {}), "size"},
                               {with(good, "size", "-1"), "size"},
                               {with(good, "mode", {}), "mode"},
                               {with(good, "mtime", {}), "mtime"}};
  for (const char* mtime : {"", "-", "-0", "--1", "+1", "01", "-01", "9223372036854775808", "-9223372036854775809"}) {
    cases.push_back({with(good, "mtime", mtime), "mtime"});
  }
  check_malformed<Stat::Reply>(cases);
}

TEST_CASE("malformed commands are refused") {
  const Box good{{"args", "true\0"s}};
  std::vector<Malformed> cases{{{}, "args"},
                               {with(good, "args", ""), "args"},
                               {with(good, "args", "true"), "args"},
                               {with(good, "cwd", ""), "cwd"},
                               {with(good, "cwd", "\0"s), "cwd"},
                               {with(good, "env", "A\0"s), "env"},
                               {with(good, "env", "=\0"s), "env"},
                               {with(good, "env", "A=1"), "env"},
                               {with(good, "unset", "A"), "unset"},
                               {with(good, "unset", "\0"s), "unset"},
                               {with(good, "unset", "A=1\0"s), "unset"},
                               {with(good, "clear_env", "0"), "clear_env"},
                               {with(good, "in", "stream"), "in"},
                               {with(good, "out", ""), "out"},
                               {with(good, "out", "merge"), "out"},
                               {with(good, "out", "discard"), "out"},
                               {with(good, "err", "1"), "err"}};
  for (const char* time : {"", "-1", "1.5", "10s", "1000000000001", "18446744073709551615"}) {
    cases.push_back({with(good, "timeout", time), "timeout"});
    cases.push_back({with(good, "kill_after", time), "kill_after"});
  }
  cases.push_back({with(good, "timeout", "0"), "timeout"});
  check_malformed<Execute::Request>(cases);
}

TEST_CASE("malformed lists of paths are refused") {
  check_malformed<SetBuilders::Request>({
      {{{"directories", "a"}}, "directories"},
      {{{"directories", "a\0\0"s}}, "directories"},
      {{{"directories", "\0"s}}, "directories"},
  });
}

TEST_CASE("malformed requests to commands are refused") {
  check_malformed<Interrupt::Request>({
      {{}, "target"},
      {{{"target", ""}}, "target"},
      {{{"target", "0123456789abcdef0"}}, "target"},
      {{{"target", "7"}, {"why", Bytes(1025, 'x')}}, "why"},
  });
  check_malformed<Signal::Request>({
      {{{"target", "7"}}, "number"},
      {{{"number", "0"}, {"target", "7"}}, "number"},
      {{{"number", "65"}, {"target", "7"}}, "number"},
      {{{"number", "TERM"}, {"target", "7"}}, "number"},
  });
  check_malformed<Resize::Request>({
      {{{"columns", "80"}, {"target", "7"}}, "rows"},
      {{{"columns", "0"}, {"rows", "24"}, {"target", "7"}}, "columns"},
      {{{"columns", "80"}, {"rows", "65536"}, {"target", "7"}}, "rows"},
  });
}

TEST_CASE("malformed results of commands are refused") {
  check_malformed<Execute::Reply>({{{}, "exit"},
                                   {{{"exit", "256"}}, "exit"},
                                   {{{"exit", "-1"}}, "exit"},
                                   {{{"exit", ""}}, "exit"},
                                   {{{"exit", "0"}, {"signal", "9"}}, "exit"},
                                   {{{"signal", "0"}}, "signal"},
                                   {{{"signal", "128"}}, "signal"},
                                   {{{"signal", "SIGKILL"}}, "signal"},
                                   {{{"exit", "0"}, {"timed_out", "0"}}, "timed_out"},
                                   {{{"exit", "0"}, {"background", ""}}, "background"}});
}

// Recorded bytes: where one of these changes, the protocol has.
TEST_CASE("operations have these bytes on the wire") {
  check_bytes(to_box(Stat::Request{.path = "/", .nofollow = true}),
              "0008 6e6f666f6c6c6f77 0001 31"  // nofollow 1
              "0004 70617468 0001 2f"          // path /
              "0000");

  FileInfo info;
  info.type = FileType::file;
  info.size = 7;
  info.mode = 0644;
  info.mtime += 1s;
  check_bytes(to_box(Stat::Reply{info}),
              "0004 6d6f6465 0003 363434"                  // mode 644
              "0005 6d74696d65 000a 31303030303030303030"  // mtime 1000000000
              "0004 73697a65 0001 37"                      // size 7
              "0004 74797065 0004 66696c65"                // type file
              "0000");

  check_bytes(to_box(List::Entry{"a", info}),
              "0004 6d6f6465 0003 363434"                  // mode 644
              "0005 6d74696d65 000a 31303030303030303030"  // mtime 1000000000
              "0004 6e616d65 0001 61"                      // name a
              "0004 73697a65 0001 37"                      // size 7
              "0004 74797065 0004 66696c65"                // type file
              "0000");

  Execute::Request command;
  command.args = {"make", "-j8"};
  command.cwd = "p";
  command.set_env = {"A=1"};
  command.unset_env = {"B"};
  command.timeout = 600'000ms;
  command.leaves = true;
  command.in = true;
  command.out = OutputMode::stream;
  command.err = OutputMode::merge;
  check_bytes(to_box(command),
              "0004 61726773 0009 6d616b6500 2d6a3800"         // args make, -j8
              "0003 637764 0001 70"                            // cwd p
              "0003 656e76 0004 413d3100"                      // env A=1
              "0003 657272 0005 6d65726765"                    // err merge
              "0002 696e 0001 31"                              // in 1
              "000a 6b696c6c5f6166746572 0004 32303030"        // kill_after 2000
              "0010 6c656176655f6261636b67726f756e64 0001 31"  // leave_background 1
              "0003 6f7574 0006 73747265616d"                  // out stream
              "0007 74696d656f7574 0006 363030303030"          // timeout 600000
              "0005 756e736574 0002 4200"                      // unset B
              "0000");

  Execute::Request logging;
  logging.args = {"a"};
  logging.logs = {{"t", LogBegin::changed}, {"u", LogBegin::end}};
  check_bytes(to_box(logging),
              "0004 61726773 0002 6100  000a 6b696c6c5f6166746572 0004 32303030"
              "0004 6c6f6773 0010 7400 6368616e67656400 7500 656e6400  0000");
  Execute::Reply logged{.exit_code = 0, .signal = {}};
  logged.log_errors = {{"1", "ENOENT no"}};
  logged.log_dropped = {{"0", "7"}};
  check_bytes(to_box(logged),
              "0004 65786974 0001 30  000b 6c6f675f64726f70706564 0004 3000 3700"
              "000a 6c6f675f6572726f7273 000c 3100 454e4f454e54206e6f00  0000");
  check_bytes(to_box(Execute::Reply{.exit_code = 0, .signal = {}, .timed_out = false, .background = true}),
              "000a 6261636b67726f756e64 0001 31"  // background 1
              "0004 65786974 0001 30"              // exit 0
              "0000");
  Execute::Reply ended{.exit_code = 0, .signal = {}, .timed_out = false, .background = false};
  ended.ran = 1500ms;
  ended.used = {.user_time = 7us, .system_time = 0us, .peak_memory = 4096};
  check_bytes(to_box(ended),
              "0004 65786974 0001 30"                      // exit 0
              "000b 7065616b5f6d656d6f7279 0004 34303936"  // peak_memory 4096
              "0003 72616e 0007 31353030303030"            // ran 1500000
              "000b 73797374656d5f74696d65 0001 30"        // system_time 0
              "0009 757365725f74696d65 0001 37"            // user_time 7
              "0000");
  check_bytes(to_box(Interrupt::Request{.target = "1f", .why = "late"}),
              "0006 746172676574 0002 3166"  // target 1f
              "0003 776879 0004 6c617465"    // why late
              "0000");
  check_bytes(to_box(Signal::Request{.target = "1f", .number = 9}),
              "0006 6e756d626572 0001 39"    // number 9
              "0006 746172676574 0002 3166"  // target 1f
              "0000");
  check_bytes(to_box(RunningReply{.running = true}), "0007 72756e6e696e67 0001 31 0000");
  check_bytes(to_box(Send::Request{.path = "f", .overwrite = true, .mode = 0600}),
              "0004 6d6f6465 0003 363030"        // mode 600
              "0009 6f7665727772697465 0001 31"  // overwrite 1
              "0004 70617468 0001 66"            // path f
              "0000");
  check_bytes(to_box(Send::Request{.path = "f", .mode = 0600, .durable = false}),
              "0004 6d6f6465 0003 363030"    // mode 600
              "0007 6e6f5f73796e63 0001 31"  // no_sync 1
              "0004 70617468 0001 66"        // path f
              "0000");
  check_bytes(to_box(Print::Request{.message = "hi\n"}),
              "0007 6d657373616765 0003 68690a"  // message hi\n
              "0000");
  check_bytes(to_box(LogTail::Request{.lines = 100}), "0005 6c696e6573 0003 313030 0000");
  check_bytes(to_box(LogTail::Reply{.lines = {"a", "b"}}), "0005 6c696e6573 0004 6100 6200 0000");
  check_bytes(to_box(ListOperations::Reply{.names = {"ping", "stat"}}),
              "0005 6e616d6573 000a 70696e6700 7374617400"  // names ping, stat
              "0000");
  check_bytes(to_box(Shutdown::Request{.within = 5s, .reason = "old", .restart = true}),
              "0006 726561736f6e 0003 6f6c64"    // reason old
              "0007 72657374617274 0001 31"      // restart 1
              "0006 77697468696e 0004 35303030"  // within 5000
              "0000");
  ReadHostFacts::Reply host;
  host.facts.clock = std::chrono::sys_time<std::chrono::nanoseconds>(7ns);
  host.facts.cpus = 2;
  check_bytes(to_box(host),
              "0005 636c6f636b 0001 37"  // clock 7
              "0004 63707573 0001 32"    // cpus 2
              "0000");
  host.facts.disk_free = 0;
  host.facts.load1 = 52;
  host.facts.os = "Debian";
  host.facts.uptime = 1s;
  check_bytes(to_box(host),
              "0005 636c6f636b 0001 37"                // clock 7
              "0004 63707573 0001 32"                  // cpus 2
              "0009 6469736b5f66726565 0001 30"        // disk_free 0
              "0005 6c6f616431 0002 3532"              // load1 52
              "0002 6f73 0006 44656269616e"            // os Debian
              "0006 757074696d65 0007 31303030303030"  // uptime 1000000
              "0000");
  check_bytes(to_box(Getenv::Reply{.env = {{"A", "1"}, {"B", ""}}}),
              "0003 656e76 0007 413d3100 423d00"  // env A=1, B=
              "0000");
}
