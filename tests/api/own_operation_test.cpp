// Operations of the host's own: their streams, their directory, and how they learn that nobody wants them any more.
#include "support/slaves.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

using namespace std::chrono_literals;

namespace {

/// More than the credit of a stream can be at once.
constexpr std::size_t more_than_credit = 5'000'000;

/// Gives a byte again and again.
std::size_t give_for_ever(std::span<char> buffer) {
  std::fill(buffer.begin(), buffer.end(), 'x');
  return buffer.size();
}

Output appended_to(Bytes& text) {
  return [&text](BytesView bytes) { text.append(bytes); };
}

}  // namespace

TEST_CASE("an operation of the host's own reads what its caller sends, and sends bytes back") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    Bytes out;
    CHECK(slave.call("capitals", {}, {.in = Source::bytes("content"), .out = appended_to(out)}) == Box{{"bytes", "7"}});
    CHECK(out == "CONTENT");
    farm.dir.write("source", "from a file\nof two lines");
    std::vector<Bytes> all;
    slave.call(
        "capitals", {},
        {.in = Source::file(farm.dir / "source"), .out = lines([&](BytesView line) { all.emplace_back(line); })});
    CHECK(all == std::vector<Bytes>{"FROM A FILE", "OF TWO LINES"});
    const Box answer =
        slave.start_call("capitals", {}, {.in = Source::bytes("x"), .out = to_file(farm.dir / "sink")}).wait();
    CHECK(answer.get("bytes") == "1");
    CHECK(farm.dir.read("sink") == "X");
  });
}

TEST_CASE("the streams of an operation of the host's own are as long as one likes, and flow both ways at once") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    Bytes out;
    slave.call("capitals", {}, {.in = Source::bytes(Bytes(more_than_credit, 'x')), .out = appended_to(out)});
    CHECK(out.size() == more_than_credit);
    CHECK(std::count(out.begin(), out.end(), 'X') == static_cast<std::ptrdiff_t>(more_than_credit));
  });
}

TEST_CASE("an operation that is sent nothing reads nothing, and what nobody wants of it is dropped") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    Bytes out;
    CHECK(slave.call("capitals").get("bytes") == "0");
    CHECK(slave.call("capitals", {}, {.out = appended_to(out)}).get("bytes") == "0");
    CHECK(out.empty());
    CHECK(slave.call("capitals", {}, {.in = Source::bytes("")}).get("bytes") == "0");
    CHECK(slave.call("capitals", {}, {.in = Source::bytes(Bytes(more_than_credit, 'x'))}).get("bytes") ==
          std::to_string(more_than_credit));
  });
}

TEST_CASE("an operation may answer before its input ends") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    CHECK(slave.call("echo", {{"a", "b"}}, {.in = give_for_ever}) == Box{{"a", "b"}});
    CHECK_THROWS_AS(slave.call("throw", {}, {.in = give_for_ever}), RemoteError);
    CHECK_THROWS_AS(slave.call("unknown", {}, {.in = give_for_ever}), RemoteError);
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("an operation sees its arguments alone, and an output that it cannot have is refused") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    Bytes out;
    CHECK(slave.call("echo", {{"a", "b"}}, {.cwd = ".", .in = Source::bytes("x"), .out = appended_to(out)}) ==
          Box{{"a", "b"}});
    for (const Output& output : {capture(1000), Output(), Output(merge)}) {
      const auto refused = thrown_by<Error>([&] { slave.call("echo", {}, {.out = output}); });
      REQUIRE(refused);
      CHECK(refused->code() == Errc::invalid_argument);
      CHECK(refused->operation() == "call 'echo'");
    }
    const auto refused = thrown_by<Error>([&] { slave.call("echo", {}, {.cwd = Bytes("a\0b", 3)}); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
  });
}

TEST_CASE("an operation learns in which directory its caller wants it to work") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    const auto where = [](SlaveOperations& on, const Bytes& cwd = {}) {
      return on.call("cwd", {}, {.cwd = cwd}).get("cwd").value_or("");
    };
    const Bytes base = slave.set_cwd();
    CHECK(where(slave) == base);
    slave.mkdir("a/b");
    CHECK(where(slave, "a/b") == base + "/a/b");
    CHECK(where(slave, base + "/a") == base + "/a");
    CHECK(where(*slave.workspace("job")) == base + "/job");
    slave.set_cwd("a");
    CHECK(where(slave) == base + "/a");
    CHECK(where(slave, "b") == base + "/a/b");
    const auto job = slave.workspace("job");
    job->mkdir("dir");
    CHECK(where(*job) == base + "/job");
    CHECK(where(*job, "dir") == base + "/job/dir");
    CHECK(where(*job, base) == base);
    CHECK_THROWS_AS(where(*job, "../a"), Error);
    const auto missing = thrown_by<RemoteError>([&] { where(*job, "missing"); });
    REQUIRE(missing);
    CHECK(missing->os() == std::errc::no_such_file_or_directory);
  });
}

TEST_CASE("an operation that waits for its caller is told when that has left") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    const std::vector<std::pair<Bytes, std::function<void(std::stop_token, OutputCallback)>>> ways{
        {"reads",
         [&](std::stop_token stop, const OutputCallback& begun) {
           std::size_t given = 0;
           const auto give = [&](std::span<char> buffer) {
             given += buffer.size();
             if (given > more_than_credit) begun("x");  // beyond the credit of the beginning: so it reads
             return give_for_ever(buffer);
           };
           slave.call("endless", {{"way", "reads"}}, {.in = give, .stop = std::move(stop)});
         }},
        {"writes",
         [&](std::stop_token stop, const OutputCallback& begun) {
           slave.call("endless", {{"way", "writes"}}, {.out = begun, .stop = std::move(stop)});
         }},
        {"waits",
         [&](std::stop_token stop, const OutputCallback& begun) {
           slave.call("endless", {{"way", "waits"}}, {.out = begun, .stop = std::move(stop)});
         }},
    };
    for (const auto& example : ways) {
      const Bytes& way = example.first;
      CAPTURE(way);
      std::stop_source stop;
      CHECK_THROWS_AS(example.second(stop.get_token(), [&stop](BytesView) { stop.request_stop(); }), Cancelled);
      CHECK(eventually([&] { return farm.dir.has("worker/ended"); }));
      slave.remove("ended");
      const auto thrown = thrown_by<std::runtime_error>(
          [&] { example.second({}, [](BytesView) { throw std::runtime_error("mine"); }); });
      REQUIRE(thrown);
      CHECK(std::string(thrown->what()) == "mine");
      CHECK(eventually([&] { return farm.dir.has("worker/ended"); }));
      slave.remove("ended");
    }
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("the stop token of an operation is stopped by a deadline, and by the end of the connection") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm& farm, Slave& slave) {
    const OutputCallback ignore = [](BytesView) {};
    CHECK_THROWS_AS(slave.call("endless", {{"way", "waits"}}, {.out = ignore, .deadline = 50ms}), Timeout);
    // Whether it has begun before the deadline nobody knows.
    auto pending =
        slave.start_call("endless", {{"way", "waits"}}, {.out = [&slave](BytesView) { slave.disconnect(); }});
    slave.remove("ended");
    CHECK_THROWS_AS(pending.wait(), ConnectionLost);
    CHECK(eventually([&] { return farm.dir.has("worker/ended"); }));
  });
}

TEST_CASE("many operations stream at the same time") {
  on_each({Over::tcp}, [](Farm&, Slave& slave) {
    CompletionQueue queue;
    std::vector<Bytes> outs(100);
    std::size_t ended = 0;
    for (Bytes& out : outs) {
      slave.start_call("capitals", {}, {.in = Source::bytes(Bytes(200'000, 'x')), .out = appended_to(out)})
          .then(queue, [&ended](Pending<Box> over) {
            if (over.wait().get("bytes") == "200000") ++ended;
          });
    }
    queue.run();
    CHECK(ended == outs.size());
    for (const Bytes& out : outs) CHECK(out == Bytes(200'000, 'X'));
  });
}

TEST_CASE("the operations of the host's own are audited and listed with their directory, tag and bytes") {
  std::mutex mutex;
  std::vector<AuditRecord> records;
  Farm farm(Over::memory, {.audit = [&](const AuditRecord& record) {
              const std::lock_guard lock(mutex);
              records.push_back(record);
            }});
  const auto slave = farm.start();
  const auto job = slave->workspace("job", {.tag = "job 7"});
  records.clear();
  std::vector<OperationInProgress> seen;
  job->call("capitals", {{"secret", "word"}},
            {.in = Source::bytes("content"), .out = [&](BytesView) { seen = slave->operations_in_progress(); }});
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].operation == "call");
  CHECK(seen[0].arguments == std::vector<Bytes>{"capitals"});
  CHECK(seen[0].cwd == job->path());
  CHECK(seen[0].tag == "job 7");
  CHECK(seen[0].bytes_in == 7);
  REQUIRE(records.size() == 1);
  CHECK(records[0].operation == "call");
  CHECK(records[0].arguments == std::vector<Bytes>{"capitals"});
  CHECK(records[0].cwd == job->path());
  CHECK(records[0].tag == "job 7");
}

TEST_CASE(
    "a policy forbids an operation of the host's own whatever is streamed, and its directory outside of the root") {
  const TempDir dir;
  Farm farm(Over::tcp);
  SlaveThread strict({.name = "strict",
                      .policy = {.root = dir / "root", .allow = std::vector<std::string>{"cwd", "mkdir"}},
                      .keyless = true},
                     [&farm](SlaveServer& server) { return server.run_once(farm.listener->address()); });
  const auto slave = farm.slaves.get_slave(ample, [](const Slave& each) { return each.name() == "strict"; });
  REQUIRE(slave);
  const auto is_forbidden = [](const auto& function) {
    const auto error = thrown_by<RemoteError>(function);
    return error && error->os() == std::errc::operation_not_permitted;
  };
  CHECK(is_forbidden([&] { slave->call("capitals", {}, {.in = give_for_ever, .out = [](BytesView) {}}); }));
  slave->mkdir("inside");
  CHECK(slave->call("cwd", {}, {.cwd = "inside"}).get("cwd") ==
        std::filesystem::canonical(dir / "root/inside").string());
  CHECK(is_forbidden([&] { slave->call("cwd", {}, {.cwd = dir.path()}); }));
  CHECK(is_forbidden([&] { slave->call("cwd", {}, {.cwd = ".."}); }));
}

}  // namespace remsh::test
