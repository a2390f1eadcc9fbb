// Slave: what it refuses, what it asks of its backend, and what it throws.
#include <remsh/connection/box_codec.hpp>
#include <remsh/master/slave.hpp>

#include "os/unique_fd.hpp"
#include "support/fake_backend.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "support/watched_calls.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using remsh::test::FakeBackend;
using remsh::test::FakeSlave;
using remsh::test::mode_of;
using remsh::test::TempDir;

namespace {

/// The Error of exactly this class that an operation throws; nothing where it throws none or another.
template <class Exception>
std::optional<Exception> thrown(const std::function<void()>& operation) {
  try {
    operation();
  } catch (const Exception& error) {
    if (typeid(error) == typeid(Exception)) return error;
  } catch (const std::exception&) {  // another: nothing
  }
  return std::nullopt;
}

std::optional<Errc> code_of(const std::function<void()>& operation) {
  const auto error = thrown<Error>(operation);
  return error ? std::optional(error->code()) : std::nullopt;
}

/// All that an InputCallback gives, in pieces of this size.
Bytes all_of_input(const InputCallback& input, std::size_t piece) {
  Bytes all;
  std::vector<char> buffer(piece);
  while (const std::size_t size = input(buffer)) all.append(buffer.data(), size);
  return all;
}

Execute::Reply exited(int code) { return {.exit_code = code, .signal = {}}; }

/// A slave that sends a file of this content, in two pieces.
void serve_file(FakeSlave& fake, Bytes content, std::uint32_t mode = 0640) {
  fake.backend->on<Fetch>([content = std::move(content), mode](const auto&, const StreamEnds& ends, const auto&) {
    ends.size(content.size());
    ends.out(BytesView(content).substr(0, content.size() / 2));
    ends.out(BytesView(content).substr(content.size() / 2));
    return Fetch::Reply{content.size(), mode};
  });
}

}  // namespace

TEST_CASE("what the slave answers becomes the class that says what to do") {
  FakeSlave fake("w1");
  Failure failure;
  fake.backend->on<Stat>([&](const auto&, const auto&, const auto&) { return failure; });
  const auto stat = [&] { fake->stat("/x"); };

  for (const Errc code : {Errc::os_error, Errc::invalid_argument, Errc::too_large, Errc::unsupported, Errc::busy,
                          Errc::remote_failure, Errc::refused, Errc::in_use, Errc::cancelled}) {
    failure = {code, "because", 0};
    const auto error = thrown<RemoteError>(stat);
    REQUIRE(error);
    CHECK(error->code() == code);
  }
  failure = {Errc::timeout, "", 0};
  CHECK(thrown<Timeout>(stat));
  failure = {Errc::connection_lost, "", 0};
  CHECK(thrown<ConnectionLost>(stat));
  failure = {Errc::protocol_error, "", 0};
  CHECK(thrown<ProtocolError>(stat));
  failure = {Errc::auth_failed, "", 0};
  CHECK(thrown<AuthError>(stat));
  failure = {Errc::local_os_error, "", EMFILE};
  CHECK(code_of(stat) == Errc::local_os_error);
}

TEST_CASE("a cancelled call is Cancelled only where the caller stopped it") {
  FakeSlave fake("w1");
  fake.backend->on<Ping>([](const auto&, const auto&, const auto&) { return Failure{Errc::cancelled, "stopped", 0}; });
  std::stop_source stop;
  CHECK(thrown<RemoteError>([&] { fake->ping({.stop = stop.get_token()}); }));
  stop.request_stop();
  CHECK(thrown<Cancelled>([&] { fake->ping({.stop = stop.get_token()}); }));
}

TEST_CASE("an error names the slave, the operation with its arguments, and the cause") {
  FakeSlave fake("w1");
  fake.backend->on<Rename>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::os_error, "File exists", EEXIST};
  });
  const auto error = thrown<RemoteError>([&] { fake->rename("a\n", "b"); });
  REQUIRE(error);
  CHECK(error->slave() == "w1");
  CHECK(error->operation() == "rename 'a\\x0A' to 'b'");
  CHECK(error->message() == "File exists");
  CHECK(error->os() == std::errc::file_exists);
  CHECK(std::string(error->what()) == "slave 'w1': rename 'a\\x0A' to 'b': File exists (EEXIST)");
}

TEST_CASE("a long argument is shortened in the message") {
  FakeSlave fake("w1");
  fake.backend->on<Execute>([](const auto&, const auto&, const auto&) { return Failure{}; });
  const auto error = thrown<RemoteError>([&] { fake->execute({"begin" + Bytes(100000, 'x') + "end"}); });
  REQUIRE(error);
  CHECK(error->operation().starts_with("execute 'begin"));
  CHECK(error->operation().ends_with("end'"));
  CHECK(error->operation().size() < 120);
}

TEST_CASE("what cannot be meant is refused before anything is sent") {
  FakeSlave fake("w1");
  bool asked = false;
  operations::for_each<AskedOperations>([&]<class Operation>(std::type_identity<Operation>) {
    fake.backend->on<Operation>([&](const auto&, const auto&, const auto&) {
      asked = true;
      return typename Operation::Reply();
    });
  });

  const Bytes nul("a\0b", 3);
  const Bytes huge(8 * 1024 * 1024, 'x');
  const Bytes half = huge.substr(0, 5 * 1024 * 1024);
  Bytes memory;

  const std::vector<std::pair<const char*, std::function<void()>>> senseless{
      {"set_cwd nul", [&] { fake->set_cwd(nul); }},
      {"mkdir empty", [&] { fake->mkdir(""); }},
      {"mkdir nul", [&] { fake->mkdir(nul); }},
      {"remove empty", [&] { fake->remove(""); }},
      {"rename from", [&] { fake->rename("", "b"); }},
      {"rename to", [&] { fake->rename("a", nul); }},
      {"copy from", [&] { fake->copy(nul, "b"); }},
      {"copy to", [&] { fake->copy("a", ""); }},
      {"stat", [&] { fake->stat(""); }},
      {"list", [&] { fake->list(""); }},
      {"no args", [&] { fake->execute({}); }},
      {"empty program",
       [&] {
         fake->execute({"", "x"});
       }},
      {"nul in args",
       [&] {
         fake->execute({"a", nul});
       }},
      {"nul in cwd", [&] { fake->execute({"a"}, {.cwd = nul}); }},
      {"empty env name",
       [&] {
         fake->execute({"a"}, {.env = {{"", "x"}}});
       }},
      {"env name with =",
       [&] {
         fake->execute({"a"}, {.env = {{"A=B", "x"}}});
       }},
      {"nul in env name",
       [&] {
         fake->execute({"a"}, {.env = {{nul, std::nullopt}}});
       }},
      {"nul in env value",
       [&] {
         fake->execute({"a"}, {.env = {{"A", nul}}});
       }},
      {"negative timeout", [&] { fake->execute({"a"}, {.timeout = std::chrono::milliseconds(-1)}); }},
      {"negative silence_timeout", [&] { fake->execute({"a"}, {.silence_timeout = std::chrono::milliseconds(-1)}); }},
      {"silence of nothing",
       [&] {
         fake->execute({"a"}, {.out = remsh::discard, .err = remsh::merge, .silence_timeout = std::chrono::hours(1)});
       }},
      {"negative kill_after", [&] { fake->execute({"a"}, {.kill_after = std::chrono::milliseconds(-1)}); }},
      {"a stop_signal that does not end a command", [&] { fake->execute({"a"}, {.stop_signal = SIGCHLD}); }},
      {"no stop_signal", [&] { fake->execute({"a"}, {.stop_signal = 0}); }},
      {"a nice level of 20", [&] { fake->execute({"a"}, {.nice = 20}); }},
      {"a nice level of -21", [&] { fake->execute({"a"}, {.nice = -21}); }},
      {"a umask of more than 0777", [&] { fake->execute({"a"}, {.umask = 01000}); }},
      {"a limit without a name",
       [&] {
         fake->execute({"a"}, {.limits = {{"", 1}}});
       }},
      {"a limit with =",
       [&] {
         fake->execute({"a"}, {.limits = {{"nofile=1", 1}}});
       }},
      {"a group without memory", [&] { fake->execute({"a"}, {.group_limits = {.memory = 0}}); }},
      {"a group without processes", [&] { fake->execute({"a"}, {.group_limits = {.processes = 0}}); }},
      {"a group with almost no CPU", [&] { fake->execute({"a"}, {.group_limits = {.cpus = 0.001}}); }},
      {"a group with CPUs that are no number", [&] { fake->execute({"a"}, {.group_limits = {.cpus = std::nan("")}}); }},
      {"a captured header", [&] { fake->execute({"a"}, {.header = remsh::capture(10)}); }},
      {"a merged header", [&] { fake->execute({"a"}, {.header = remsh::merge}); }},
      {"a prepended variable with =",
       [&] {
         fake->execute({"a"}, {.prepend_env = {{"A=B", "x"}}});
       }},
      {"nul in a prepended value",
       [&] {
         fake->execute({"a"}, {.prepend_env = {{"A", nul}}});
       }},
      {"a terminal without rows", [&] { fake->execute({"a"}, {.terminal = Terminal{.columns = 80, .rows = 0}}); }},
      {"a terminal with a stderr", [&] { fake->execute({"a"}, {.err = remsh::merge, .terminal = Terminal{}}); }},
      {"an empty secret", [&] { fake->execute({"a"}, {.secrets = {""}}); }},
      {"nul in a secret", [&] { fake->execute({"a"}, {.secrets = {nul}}); }},
      {"an empty callback with times", [&] { fake->execute({"a"}, {.err = TimedOutputCallback()}); }},
      {"merged stdout", [&] { fake->execute({"a"}, {.out = Output(remsh::merge)}); }},
      {"an empty callback for stdout", [&] { fake->execute({"a"}, {.out = OutputCallback()}); }},
      {"an empty callback for lines of stderr", [&] { fake->execute({"a"}, {.err = remsh::lines({})}); }},
      {"an empty callback for stdin", [&] { fake->execute({"a"}, {.in = InputCallback()}); }},
      {"send to nothing", [&] { fake->send(Source::bytes("x"), ""); }},
      {"send of nothing", [&] { fake->send(Source::file(""), "b"); }},
      {"send of an empty callback", [&] { fake->send(Source(InputCallback()), "b"); }},
      {"send with a mode", [&] { fake->send(Source::bytes("x"), "b", {.mode = 010000}); }},
      {"fetch of nothing", [&] { fake->fetch("", Sink::bytes(memory)); }},
      {"fetch to nothing", [&] { fake->fetch("a", Sink::file("")); }},
      {"fetch to nul", [&] { fake->fetch("a", Sink::file(nul)); }},
      {"fetch to an empty callback", [&] { fake->fetch("a", Sink(OutputCallback())); }},
      {"call without a name", [&] { fake->call(""); }},
      {"call in capitals", [&] { fake->call("Build"); }},
      {"call with a long name", [&] { fake->call(std::string(65, 'a')); }},
      {"call of one of ours", [&] { fake->call("execute"); }},
      {"call with _key",
       [&] {
         fake->call("build", {{"_ask", "1"}});
       }},
      {"call with op",
       [&] {
         fake->call("build", {{"op", "1"}});
       }},
      {"call with ~",
       [&] {
         fake->call("build", {{"a~0001", "1"}});
       }},
  };
  for (const auto& attempt : senseless) {
    INFO(attempt.first);
    CHECK(code_of(attempt.second) == Errc::invalid_argument);
  }

  Box many;
  for (int i = 0; i < 1020; ++i) many.set(std::to_string(i), "");
  const std::vector<std::pair<const char*, std::function<void()>>> too_much{
      {"path", [&] { fake->stat(huge); }},
      {"two paths", [&] { fake->rename(half, half); }},
      {"one argument",
       [&] {
         fake->execute({"a", huge});
       }},
      {"arguments", [&] { fake->execute(std::vector<Bytes>(1'000'000, "12345678")); }},
      {"environment",
       [&] {
         fake->execute({half}, {.env = {{"A", half}}});
       }},
      {"call",
       [&] {
         fake->call("build", {{"a", huge}});
       }},
      {"call with many values", [&] { fake->call("build", many); }},
  };
  for (const auto& attempt : too_much) {
    INFO(attempt.first);
    const auto error = thrown<Error>(attempt.second);
    REQUIRE(error);
    CHECK(error->code() == Errc::too_large);
    CHECK(error->message().find("8 MiB") != std::string::npos);
    const bool is_environment = attempt.first == std::string_view("environment");
    CHECK((error->message().find("the environment does not fit") != std::string::npos) == is_environment);
  }
  CHECK_FALSE(asked);
}

TEST_CASE("what just fits into a call is sent") {
  FakeSlave fake("w1");
  std::size_t size = 0;
  fake.backend->on<Execute>([&](const Execute::Request& request, const auto&, const auto&) {
    size = request.args[1].size();
    return Execute::Reply();
  });
  fake->execute({"a", Bytes(8100 * 1024, 'x')});
  CHECK(size == 8100 * 1024);
}

TEST_CASE("operations hand their arguments on and give what the backend gave") {
  FakeSlave fake("w1");
  const auto deadline = Deadline(std::chrono::steady_clock::now() + std::chrono::hours(1));
  std::stop_source stop;

  fake.backend->on<SetCwd>([&](const SetCwd::Request& request, const auto&, const Patience& options) {
    CHECK(options.deadline == deadline);
    CHECK(options.stop == stop.get_token());
    return SetCwd::Reply{request.path ? "/base/" + *request.path : "/base"};
  });
  const CallOptions patience{.deadline = deadline, .stop = stop.get_token()};
  CHECK(fake->set_cwd(patience) == "/base");
  CHECK(fake->set_cwd("sub", patience) == "/base/sub");
  CHECK(fake->set_cwd("", patience) == "/base/");

  fake.backend->on<Getenv>([](const auto&, const auto&, const auto&) { return Getenv::Reply{{{"A", "1"}}}; });
  CHECK(fake->getenv() == std::map<Bytes, Bytes>{{"A", "1"}});
  fake.backend->on<ReadInfo>([](const auto&, const auto&, const auto&) { return ReadInfo::Reply{{{"admin", "me"}}}; });
  CHECK(fake->read_info() == std::map<Bytes, Bytes>{{"admin", "me"}});

  fake.backend->on<Stat>([&](const Stat::Request& request, const auto&, const Patience& options) {
    CHECK(request.path == "link");
    CHECK(request.nofollow);
    CHECK(options.deadline == deadline);
    CHECK(options.stop == stop.get_token());
    return Stat::Reply{FileInfo{.type = FileType::symlink, .size = 7}};
  });
  const auto info = fake->stat("link", {.follow = false, .deadline = deadline, .stop = stop.get_token()});
  REQUIRE(info);
  CHECK(info->size == 7);

  fake.backend->on<Copy>([&](const TwoPaths& request, const auto&, const Patience& options) {
    CHECK(request.from == "a");
    CHECK(request.to == "b");
    CHECK(request.overwrite);
    CHECK(options.deadline == deadline);
    return Nothing();
  });
  fake->copy("a", "b", {.overwrite = true, .deadline = deadline});

  fake.backend->on<operations::Call>([](const operations::Call::Request& request, const auto&, const auto&) {
    return operations::Call::Reply{Box{{"name", request.name}, {"long", *request.arguments.get("long")}}};
  });
  const Bytes value(200000, 'v');
  const Box reply = fake->call("my-build_1", {{"long", value}});
  CHECK(reply.get("name") == "my-build_1");
  CHECK(reply.get("long") == value);
}

TEST_CASE("entries of a directory that make no sense fail the call") {
  FakeSlave fake("w1");
  Bytes stream;
  std::uint64_t says = 1;
  fake.backend->on<List>([&](const auto&, const StreamEnds& ends, const auto&) {
    for (const char& byte : stream) ends.out(BytesView(&byte, 1));
    return List::Reply{says};
  });
  const FileInfo info{.type = FileType::file, .size = 7, .mode = 0644};
  const Bytes good = encode(to_box(List::Entry{"a", info}));
  stream = good;
  CHECK(fake->list("d") == std::vector<DirectoryEntry>{{"a", info}});
  for (const Bytes& bad :
       {encode(to_box(List::Entry{"..", info})), encode(to_box(List::Entry{"a/b", info})),
        encode(to_box(List::Entry{"", info})), encode(to_box(List::Entry{Bytes(1, '\0'), info})),
        encode(to_box(List::Entry{"a", {}})), encode(Box{{"name", "a"}}), Bytes("\xff\xff"),
        good.substr(0, good.size() - 1), Bytes(), good + good, encode(to_box(List::Entry{Bytes(10'000, 'x'), info}))}) {
    CAPTURE(bad);
    stream = bad;
    CHECK(thrown<ProtocolError>([&] { fake->list("d"); }));
  }
  std::size_t given = 0;
  stream = good + good;
  says = 2;
  CHECK(fake->list("d", {.each = [&](const DirectoryEntry&) { ++given; }}).empty());
  CHECK(given == 2);
}

TEST_CASE("output is captured where nobody takes it") {
  FakeSlave fake("w1");
  fake.backend->on<Execute>([](const Execute::Request& request, const StreamEnds& ends, const auto&) {
    CHECK(request.args == std::vector<Bytes>{"make", "-j8"});
    CHECK(request.cwd == "project");
    CHECK_FALSE(ends.in);
    ends.out("one ");
    ends.err("bad");
    ends.out("two");
    return exited(3);
  });
  const ExecuteResult result = fake->execute({"make", "-j8"}, {.cwd = "project"});
  CHECK(result.exit_code == 3);
  CHECK(result.out == "one two");
  CHECK(result.err == "bad");
}

TEST_CASE("output goes to the callbacks, or nowhere") {
  FakeSlave fake("w1");
  fake.backend->on<Execute>([](const auto&, const StreamEnds& ends, const auto&) {
    if (ends.out) ends.out("out");
    if (ends.err) ends.err("err");
    return exited(0);
  });
  Bytes out;
  Bytes err;
  const OutputCallback to_out = [&](BytesView bytes) { out.append(bytes); };
  const OutputCallback to_err = [&](BytesView bytes) { err.append(bytes); };

  ExecuteResult result = fake->execute({"a"}, {.out = to_out, .err = to_err});
  CHECK(out == "out");
  CHECK(err == "err");
  CHECK(result.out.empty());
  CHECK(result.err.empty());

  result = fake->execute({"a"}, {.out = remsh::discard, .err = remsh::discard});
  CHECK(result.out.empty());
  CHECK(result.err.empty());

  result = fake->execute({"a"}, {.err = remsh::merge});
  CHECK(result.out == "out");
  CHECK(result.err.empty());
}

TEST_CASE("of more output than may be captured the beginning and the end are kept") {
  FakeSlave fake("w1");
  const Bytes said = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{7}, said.size()}) {
    CAPTURE(piece);
    fake.backend->on<Execute>([&](const auto&, const StreamEnds& ends, const auto&) {
      for (std::size_t at = 0; at < said.size(); at += piece) ends.err(BytesView(said).substr(at, piece));
      return exited(0);
    });
    ExecuteResult result = fake->execute({"a"}, {.err = remsh::capture(said.size())});
    CHECK(result.err == said);
    CHECK(result.err_omitted == 0);
    result = fake->execute({"a"}, {.err = remsh::capture(11)});
    CHECK(result.err == "012345\n[remsh: 25 bytes omitted]\nvwxyz");
    CHECK(result.err_omitted == 25);
    result = fake->execute({"a"}, {.err = remsh::capture(1)});
    CHECK(result.err == "0\n[remsh: 35 bytes omitted]\n");
    result = fake->execute({"a"}, {.err = remsh::capture(0)});
    CHECK(result.err == "\n[remsh: 36 bytes omitted]\n");
  }
}

TEST_CASE("output comes line by line, however it was cut") {
  FakeSlave fake("w1");
  const Bytes said = "one\n\nthree\nlast";
  for (std::size_t piece = 1; piece <= said.size(); ++piece) {
    CAPTURE(piece);
    fake.backend->on<Execute>([&](const auto&, const StreamEnds& ends, const auto&) {
      for (std::size_t at = 0; at < said.size(); at += piece) ends.out(BytesView(said).substr(at, piece));
      return exited(0);
    });
    std::vector<Bytes> got;
    const auto take = [&](BytesView line) { got.emplace_back(line); };
    CHECK(fake->execute({"a"}, {.out = remsh::lines(take)}).out.empty());
    CHECK(got == std::vector<Bytes>{"one", "", "three", "last"});
  }
}

TEST_CASE("a line that does not end comes in pieces") {
  FakeSlave fake("w1");
  constexpr std::size_t size = 2'500'000;
  fake.backend->on<Execute>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out(Bytes(size, 'x'));
    ends.out("\n");
    return exited(0);
  });
  std::vector<std::size_t> sizes;
  const auto take = [&](BytesView line) { sizes.push_back(line.size()); };
  fake->execute({"a"}, {.out = remsh::lines(take)});
  CHECK(sizes == std::vector<std::size_t>{1024 * 1024, 1024 * 1024, size - 2 * 1024 * 1024});
}

TEST_CASE("output goes to a file, from its beginning or to its end, or to a descriptor") {
  const TempDir dir;
  dir.write("log", "old");
  FakeSlave fake("w1");
  fake.backend->on<Execute>([](const auto&, const StreamEnds& ends, const auto&) {
    if (ends.out) ends.out("out");
    if (ends.err) ends.err("err");
    return exited(0);
  });
  fake->execute({"a"}, {.out = remsh::to_file(dir / "log"), .err = remsh::discard});
  CHECK(dir.read("log") == "out");
  fake->execute({"a"}, {.out = remsh::discard, .err = remsh::to_file(dir / "log", true)});
  CHECK(dir.read("log") == "outerr");
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd reads(ends[0]);
  {
    const UniqueFd writes(ends[1]);
    fake->execute({"a"}, {.out = remsh::to_descriptor(writes.get())});
  }
  char read[16];
  CHECK(::read(reads.get(), read, sizeof(read)) == 3);
  const auto error = thrown<Error>([&] { fake->execute({"a"}, {.out = remsh::to_file(dir / "no/such")}); });
  REQUIRE(error);
  CHECK(error->code() == Errc::local_os_error);
  CHECK(error->os() == std::errc::no_such_file_or_directory);
  CHECK(code_of([&] { fake->execute({"a"}, {.out = remsh::to_descriptor(-1)}); }) == Errc::local_os_error);
}

TEST_CASE("a deadline in options that are kept counts from each call") {
  FakeSlave fake("w1");
  const StatOptions options{.deadline = std::chrono::hours(1)};
  std::vector<TimePoint> deadlines;
  fake.backend->on<Stat>([&](const auto&, const auto&, const Patience& patience) {
    deadlines.push_back(patience.deadline.at());
    return Stat::Reply();
  });
  for (int i = 0; i < 2; ++i) {
    const TimePoint before = std::chrono::steady_clock::now();
    fake->stat("a", options);
    CHECK(deadlines.back() >= before + std::chrono::hours(1));
  }
  CHECK(deadlines[1] > deadlines[0]);
}

TEST_CASE("a command reads bytes or what a callback gives") {
  FakeSlave fake("w1");
  Bytes read;
  fake.backend->on<Execute>([&](const auto&, const StreamEnds& ends, const auto&) {
    REQUIRE(ends.in);
    read = all_of_input(ends.in, 3);
    return exited(0);
  });
  fake->execute({"cat"}, {.in = Source::bytes("some input")});
  CHECK(read == "some input");
  const TempDir dir;
  dir.write("input", "of a file");
  fake->execute({"cat"}, {.in = Source::file(dir / "input")});
  CHECK(read == "of a file");
  CHECK(code_of([&] { fake->execute({"cat"}, {.in = Source::file(dir / "missing")}); }) == Errc::local_os_error);

  int left = 2;
  fake->execute({"cat"}, {.in = InputCallback([&](std::span<char> buffer) -> std::size_t {
                            if (left-- == 0) return 0;
                            buffer[0] = 'x';
                            return 1;
                          })});
  CHECK(read == "xx");

  const auto lie = InputCallback([](std::span<char> buffer) { return buffer.size() + 1; });
  CHECK(code_of([&] { fake->execute({"cat"}, {.in = lie}); }) == Errc::invalid_argument);
}

TEST_CASE("what a callback throws comes out unchanged") {
  FakeSlave fake("w1");
  fake.backend->on<Execute>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("x");
    return exited(0);
  });
  const OutputCallback out = [](BytesView) { throw std::out_of_range("mine"); };
  CHECK_THROWS_WITH_AS(fake->execute({"a"}, {.out = out}), "mine", std::out_of_range);

  fake.backend->on<Send>([](const auto&, const StreamEnds& ends, const auto&) {
    all_of_input(ends.in, 10);
    return Send::Reply();
  });
  const InputCallback in = [](std::span<char>) -> std::size_t { throw std::out_of_range("mine too"); };
  CHECK_THROWS_WITH_AS(fake->send(in, "b"), "mine too", std::out_of_range);
}

TEST_CASE("a local file is sent with its mode, unless another is wanted") {
  const TempDir dir;
  dir.write("a", "content of a file");
  REQUIRE(::chmod((dir / "a").c_str(), 04751) == 0);
  FakeSlave fake("w1");
  Bytes sent;
  std::uint32_t mode = 0;
  fake.backend->on<Send>([&](const Send::Request& request, const StreamEnds& ends, const auto&) {
    CHECK(request.path == "there");
    CHECK(request.overwrite);
    sent = all_of_input(ends.in, 4);
    mode = request.mode;
    return Send::Reply();
  });
  CHECK(fake->send(Source::file(dir / "a"), "there", {.overwrite = true}).bytes == 17);
  CHECK(sent == "content of a file");
  CHECK(mode == 0751);
  fake->send(Source::file(dir / "a"), "there", {.overwrite = true, .mode = 0600});
  CHECK(mode == 0600);
  CHECK(fake->send(Source::bytes("bytes"), "there", {.overwrite = true}).bytes == 5);
  CHECK(sent == "bytes");
  CHECK(mode == 0644);
}

TEST_CASE("a file that grows while it is sent is sent as it is then") {
  const TempDir dir;
  dir.write("a", "12345");
  FakeSlave fake("w1");
  fake.backend->on<Send>([&](const auto&, const StreamEnds& ends, const auto&) {
    dir.write("a", "1234567890");
    CHECK(all_of_input(ends.in, 4) == "1234567890");
    return Send::Reply();
  });
  std::vector<std::pair<std::uint64_t, std::optional<std::uint64_t>>> told;
  const auto result = fake->send(Source::file(dir / "a"), "b",
                                 {.progress = [&](std::uint64_t done, auto total) { told.emplace_back(done, total); }});
  CHECK(result.bytes == 10);
  REQUIRE(!told.empty());
  CHECK(told.back().first == 10);
  CHECK(told.back().second == 10);
}

TEST_CASE("a source that cannot be read is an error of this side") {
  const TempDir dir;
  FakeSlave fake("w1");
  const auto missing = thrown<Error>([&] { fake->send(Source::file(dir / "missing"), "b"); });
  REQUIRE(missing);
  CHECK(missing->code() == Errc::local_os_error);
  CHECK(missing->os() == std::errc::no_such_file_or_directory);
  CHECK(missing->message().find("local file") != std::string::npos);
  CHECK(code_of([&] { fake->send(Source::file(dir.path()), "b"); }) == Errc::local_os_error);
}

TEST_CASE("a fetched file has the mode of the original, unless another is wanted") {
  const TempDir dir;
  FakeSlave fake("w1");
  serve_file(fake, "fetched content", 04750);
  CHECK(fake->fetch("x", Sink::file(dir / "a")).bytes == 15);
  CHECK(dir.read("a") == "fetched content");
  CHECK(mode_of(dir / "a") == 0750);
  fake->fetch("x", Sink::file(dir / "b"), {.mode = 0604});
  CHECK(mode_of(dir / "b") == 0604);
}

TEST_CASE("an existing destination is refused before the slave is asked, and at the end") {
  const TempDir dir;
  dir.write("a", "old");
  FakeSlave fake("w1");
  bool asked = false;
  fake.backend->on<Fetch>([&](const auto&, const StreamEnds& ends, const auto&) {
    asked = true;
    ends.out("new");
    dir.write("b", "came meanwhile");
    return Fetch::Reply{.bytes = 3};
  });
  const auto error = thrown<Error>([&] { fake->fetch("x", Sink::file(dir / "a")); });
  REQUIRE(error);
  CHECK(error->os() == std::errc::file_exists);
  CHECK_FALSE(asked);

  CHECK(code_of([&] { fake->fetch("x", Sink::file(dir / "b")); }) == Errc::local_os_error);
  CHECK(asked);
  CHECK(dir.read("b") == "came meanwhile");

  fake->fetch("x", Sink::file(dir / "a"), {.overwrite = true});
  CHECK(dir.read("a") == "new");
  CHECK(dir.count() == 2);
}

TEST_CASE("a fetched file is on the disk when the call returns, unless the caller does without") {
  for (const bool durable : {true, false}) {
    CAPTURE(durable);
    const TempDir dir;
    FakeSlave fake("w1");
    serve_file(fake, "content");
    std::vector<bool> was_there;
    const auto observer = [&](const test::WatchedCall&) { return was_there.push_back(dir.has("a")), 0; };
    if (!test::watch_calls(SYS_fsync, observer, [&] { fake->fetch("x", Sink::file(dir / "a"), {.durable = durable}); }))
      return;
    CHECK(was_there == (durable ? std::vector{false, true} : std::vector<bool>{}));
    CHECK(dir.read("a") == "content");
  }
}

TEST_CASE("a disk of ours that cannot keep a fetched file fails the call") {
  const TempDir dir;
  FakeSlave fake("w1");
  serve_file(fake, "content");
  std::optional<Error> error;
  const auto observer = [](const test::WatchedCall&) { return EIO; };
  if (!test::watch_calls(SYS_fsync, observer,
                         [&] { error = thrown<Error>([&] { fake->fetch("x", Sink::file(dir / "a")); }); })) {
    return;
  }
  REQUIRE(error);
  CHECK(error->code() == Errc::local_os_error);
  CHECK(error->os() == std::errc::io_error);
  CHECK(dir.count() == 0);
}

TEST_CASE("a fetch to a disk of ours that hangs ends by its deadline, or when it is stopped") {
  struct Attempt {
    bool is_observed = false;
    bool has_hung = false;
    bool is_right = false;
    bool ended_meanwhile = false;
  };
  /// A fetch of which the first such call to the disk hangs until the fetch has ended. Without a deadline it is stopped
  /// when it hangs.
  const auto attempt = [](unsigned call, std::optional<std::chrono::milliseconds> deadline) {
    const TempDir dir;
    FakeSlave fake("w1");
    serve_file(fake, Bytes(8 * 1024 * 1024, 'x'));
    std::promise<void> is_over;
    std::stop_source stop;
    Attempt result;
    const auto observer = [&](const test::WatchedCall& watched) {
      struct stat status {};
      const bool is_file = ::fstat(static_cast<int>(watched.arguments[0]), &status) == 0 && S_ISREG(status.st_mode);
      if (!is_file || std::exchange(result.has_hung, true)) return 0;
      if (!deadline) stop.request_stop();
      result.ended_meanwhile = is_over.get_future().wait_for(std::chrono::seconds(30)) == std::future_status::ready;
      return 0;
    };
    const auto work = [&] {
      TransferOptions options{.stop = stop.get_token()};
      if (deadline) options.deadline = *deadline;
      const auto fetch = [&] { fake->fetch("x", Sink::file(dir / "a"), options); };
      result.is_right = deadline ? thrown<Timeout>(fetch).has_value() : thrown<Cancelled>(fetch).has_value();
      is_over.set_value();
    };
    result.is_observed = test::watch_calls(call, observer, work);
    return result;
  };
  for (const unsigned call : {static_cast<unsigned>(SYS_write), static_cast<unsigned>(SYS_fsync)}) {
    CAPTURE(call);
    Attempt timed;
    for (const int deadline : {50, 1000, 20000}) {  // the disk must be reached before it
      timed = attempt(call, std::chrono::milliseconds(deadline));
      if (timed.has_hung || !timed.is_observed) break;
    }
    const Attempt stopped = attempt(call, std::nullopt);
    if (!stopped.is_observed) return;
    for (const Attempt& one : {timed, stopped}) {
      CHECK(one.has_hung);
      CHECK(one.is_right);
      CHECK(one.ended_meanwhile);
    }
  }
}

TEST_CASE("a fetch of which not all came fails, and leaves nothing behind") {
  const TempDir dir;
  FakeSlave fake("w1");
  fake.backend->on<Fetch>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("four");
    return Fetch::Reply{.bytes = 5};
  });
  const auto error = thrown<ProtocolError>([&] { fake->fetch("x", Sink::file(dir / "a")); });
  REQUIRE(error);
  CHECK(error->message().find("4 bytes came, it says 5") != std::string::npos);
  CHECK(dir.count() == 0);
}

TEST_CASE("a fetch that fails leaves nothing behind") {
  const TempDir dir;
  FakeSlave fake("w1");
  fake.backend->on<Fetch>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("half of it");
    return Failure{Errc::connection_lost, "cut", 0};
  });
  CHECK(thrown<ConnectionLost>([&] { fake->fetch("x", Sink::file(dir / "a")); }));
  CHECK(dir.count() == 0);

  Bytes memory = "as it was";
  CHECK(thrown<ConnectionLost>([&] { fake->fetch("x", Sink::bytes(memory)); }));
  CHECK(memory == "as it was");
}

TEST_CASE("a file is fetched into memory or to a callback") {
  FakeSlave fake("w1");
  serve_file(fake, "0123456789");
  Bytes memory = "old";
  CHECK(fake->fetch("x", Sink::bytes(memory)).bytes == 10);
  CHECK(memory == "0123456789");
  std::vector<Bytes> pieces;
  fake->fetch("x", OutputCallback([&](BytesView bytes) { pieces.emplace_back(bytes); }));
  CHECK(pieces == std::vector<Bytes>{"01234", "56789"});
}

TEST_CASE("a file of more than max_bytes is not fetched, announced or not") {
  const TempDir dir;
  FakeSlave fake("w1");
  serve_file(fake, "0123456789");
  CHECK(fake->fetch("x", Sink::file(dir / "a"), {.max_bytes = 10}).bytes == 10);
  CHECK(code_of([&] { fake->fetch("x", Sink::file(dir / "b"), {.max_bytes = 9}); }) == Errc::too_large);

  Bytes got;
  fake.backend->on<Fetch>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("01234");
    ends.out("56789");
    return Fetch::Reply{.bytes = 10};
  });
  const OutputCallback collect = [&](BytesView bytes) { got.append(bytes); };
  CHECK(code_of([&] { fake->fetch("x", collect, {.max_bytes = 9}); }) == Errc::too_large);
  CHECK(got == "01234");
  CHECK(dir.count() == 1);
}

TEST_CASE("progress is told at the end and not for every piece") {
  FakeSlave fake("w1");
  constexpr std::size_t pieces = 10000;
  fake.backend->on<Fetch>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.size(pieces);
    for (std::size_t i = 0; i < pieces; ++i) ends.out("x");
    return Fetch::Reply{.bytes = pieces};
  });
  std::size_t calls = 0;
  std::uint64_t last = 0;
  Bytes memory;
  const auto begin = std::chrono::steady_clock::now();
  fake->fetch("x", Sink::bytes(memory), {.progress = [&](std::uint64_t done, std::optional<std::uint64_t> total) {
                CHECK(done >= last);
                CHECK(total == pieces);
                last = done;
                ++calls;
              }});
  const auto tenths = (std::chrono::steady_clock::now() - begin) / std::chrono::milliseconds(100);
  CHECK(last == pieces);
  CHECK(calls >= 1);
  CHECK(calls <= static_cast<std::size_t>(tenths) + 1);
}

TEST_CASE("a lost slave says so and why") {
  FakeSlave fake("w1");
  CHECK(fake->is_connected());
  CHECK(fake->lost_reason().empty());
  fake.backend->lose({Errc::connection_lost, "the cable was cut", 0});
  CHECK_FALSE(fake->is_connected());
  CHECK(fake->lost_reason() == "the cable was cut");
}

TEST_CASE("each callback of on_disconnect is called once, whatever the others throw") {
  FakeSlave fake("w1");
  std::vector<int> called;
  fake->on_disconnect([&] { called.push_back(1), throw std::runtime_error("mine"); });
  fake->on_disconnect([&] {
    called.push_back(2);
    fake->on_disconnect([&] { called.push_back(3); });  // registered while it is being lost: at once
  });
  fake->on_disconnect(std::function<void()>());
  fake->on_disconnect(std::function<void(const Disconnect&)>());
  CHECK(called.empty());
  fake->disconnect();
  CHECK(called == std::vector{1, 2, 3});
  fake->on_disconnect([&] { called.push_back(4), throw std::runtime_error("mine"); });
  CHECK(called == std::vector{1, 2, 3, 4});
}

TEST_CASE("a callback registered between the loss and its notice is called at once, and once") {
  FakeSlave fake("w1");
  int before = 0;
  int between = 0;
  fake->on_disconnect([&] { ++before; });
  fake.backend->lose({}, [&] {
    fake->on_disconnect([&] { ++between; });
    CHECK(between == 1);
    CHECK(before == 0);
  });
  CHECK(before == 1);
  CHECK(between == 1);
}

TEST_CASE("callbacks that race with the loss are called once each") {
  for (int round = 0; round < 200; ++round) {
    FakeSlave fake("w1");
    std::array<std::atomic<int>, 20> called{};
    std::thread loser([&] { fake.backend->lose({}); });
    for (auto& count : called) fake->on_disconnect([&count] { ++count; });
    loser.join();
    for (const auto& count : called) CHECK(count == 1);
  }
}

TEST_CASE("a slave that is dropped disconnects, and its callbacks are called") {
  auto fake = std::make_unique<FakeSlave>("w1");
  const auto backend = fake->backend;
  int called = 0;
  (*fake)->on_disconnect([&] { ++called; });
  fake.reset();
  REQUIRE(backend->lost());
  CHECK(called == 1);
}

TEST_CASE("a subclass is a slave with operations of its own") {
  class Builder : public Slave {
   public:
    using Slave::Slave;
    void setup() override { home = set_cwd(); }
    Bytes home;
  };
  const auto backend = std::make_shared<FakeBackend>();
  backend->on<SetCwd>([](const auto&, const auto&, const auto&) { return SetCwd::Reply{"/base"}; });
  const auto builder = std::make_shared<Builder>(SlaveInit({.name = "w1"}, backend));
  builder->setup();
  CHECK(builder->home == "/base");
  CHECK(builder->name() == "w1");
}
