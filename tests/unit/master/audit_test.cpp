// Audit: each operation that was begun is told of once, however it ends.
#include <remsh/master/audit.hpp>

#include "support/exits.hpp"
#include "support/fake_backend.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <remsh/base/completion_queue.hpp>
#include <remsh/master/slave.hpp>

#include <cerrno>
#include <functional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using remsh::test::exits;
using remsh::test::FakeSlave;
using remsh::test::TempDir;

namespace {

/// A slave of functions, and what is told of its operations.
struct Audited {
  FakeSlave slave{"w1"};
  std::vector<AuditRecord> told;

  Audited() {
    slave.backend->audit_hook = [this](const AuditRecord& record) { told.push_back(record); };
  }
  Slave* operator->() const { return slave.slave.get(); }

  /// The one record since the last time.
  AuditRecord take() {
    REQUIRE(told.size() == 1);
    AuditRecord record = std::move(told.front());
    told.clear();
    return record;
  }
};

using Arguments = std::vector<Bytes>;

}  // namespace

TEST_CASE("an operation that was done is told of with what tells it apart") {
  Audited slave;
  const auto before = std::chrono::system_clock::now();
  slave->rename("a", "b", {.tag = "job 7"});
  const AuditRecord record = slave.take();
  CHECK(record.slave == "w1");
  CHECK(record.operation == "rename");
  CHECK(record.arguments == Arguments{"a", "b"});
  CHECK(record.tag == "job 7");
  CHECK_FALSE(record.error);
  CHECK(record.message.empty());
  CHECK(record.start >= before);
  CHECK(record.duration.count() >= 0);
}

TEST_CASE("every operation tells its arguments and the tag of its caller") {
  Audited slave;
  const auto is = [&slave](const std::string& operation, const Arguments& arguments) {
    const AuditRecord record = slave.take();
    CHECK(record.operation == operation);
    CHECK(record.arguments == arguments);
    CHECK(record.tag == "t");
    CHECK_FALSE(record.error);
  };
  slave->set_cwd(CallOptions{.tag = "t"}), is("set_cwd", {});
  slave->set_cwd("d", {.tag = "t"}), is("set_cwd", {"d"});
  slave->getenv({.tag = "t"}), is("getenv", {});
  slave->read_info({.tag = "t"}), is("read_info", {});
  slave->mkdir("d", {.tag = "t"}), is("mkdir", {"d"});
  slave->remove("d", {.tag = "t"}), is("remove", {"d"});
  slave->copy("a", "b", {.tag = "t"}), is("copy", {"a", "b"});
  slave->stat("a", {.tag = "t"}), is("stat", {"a"});
  slave->execute({"make", "-j8"}, {.tag = "t"}), is("execute", {"make", "-j8"});
  slave->send(Source::bytes("x"), "a", {.tag = "t"}), is("send", {"a"});
  Bytes fetched;
  slave->fetch("a", Sink::bytes(fetched), {.tag = "t"}), is("fetch", {"a"});
  slave->call("own", {{"key", "secret"}}, {.tag = "t"}), is("call", {"own"});
  slave->print("message", {.tag = "t"}), is("print", {});
  slave->log_tail(9, {.tag = "t"}), is("log_tail", {});
  slave->operations({.tag = "t"}), is("operations", {});
  slave->host_facts({.tag = "t"}), is("host_facts", {});
  slave->shutdown({.tag = "t"}), is("shutdown", {});
  slave->ping({.tag = "t"}), is("ping", {});
}

TEST_CASE("of a command its directory and its end are told, and nothing of its environment") {
  Audited slave;
  slave.slave.backend->on<Execute>([](const auto&, const auto&, const auto&) { return exits(3); });
  slave->execute({"make", "--password=x"}, {.cwd = "src", .env = {{"TOKEN", "y"}}});
  AuditRecord record = slave.take();
  CHECK(record.cwd == "src");
  CHECK(record.exit_code == 3);
  CHECK_FALSE(record.error);
  CHECK(to_json_line(record).find("TOKEN") == std::string::npos);

  slave->execute({"make", "--password=hunter2"}, {.secrets = {"hunter2"}});
  record = slave.take();
  CHECK(record.arguments == Arguments{"make", "--password=***"});

  slave.slave.backend->on<Execute>([](const auto&, const auto&, const auto&) {
    return Execute::Reply{.exit_code = {}, .signal = 9, .timed_out = true};
  });
  slave->execute({"make"});
  record = slave.take();
  CHECK(record.signal == 9);
  CHECK(record.timed_out);
  CHECK_FALSE(record.exit_code);
}

TEST_CASE("of a failure its code, its cause and the system's error are told") {
  Audited slave;
  slave.slave.backend->on<Remove>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::os_error, "No such thing", ENOTDIR};
  });
  CHECK_THROWS_AS(slave->remove("d"), RemoteError);
  AuditRecord record = slave.take();
  CHECK(record.error == Errc::os_error);
  CHECK(record.os == std::errc::not_a_directory);
  CHECK(record.message == "No such thing");

  slave.slave.backend->on<Ping>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::timeout, "late", 0};
  });
  CHECK_THROWS_AS(slave->ping(), Timeout);
  CHECK(slave.take().error == Errc::timeout);
}

TEST_CASE("what is refused before it is begun is not told") {
  Audited slave;
  CHECK_THROWS_AS(slave->stat(""), Error);
  CHECK_THROWS_AS(slave->execute({}), Error);
  CHECK_THROWS_AS(static_cast<void>(slave->start_mkdir("")), Error);
  CHECK_THROWS_AS(slave->send(Source::file("/no/such/file"), "a"), Error);
  CHECK(slave.told.empty());
}

TEST_CASE("of a transfer the bytes are told, also where it does not come to its end") {
  const TempDir dir;
  Audited slave;
  slave.slave.backend->on<Fetch>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("half");
    ends.out("half");
    return Fetch::Reply{.bytes = 8};
  });
  const std::string path = dir / "local";
  slave->fetch("remote", Sink::file(path));
  AuditRecord record = slave.take();
  CHECK(record.arguments == Arguments{"remote", path});
  CHECK(record.bytes == 8);

  CHECK_THROWS_AS(slave->fetch("remote", [](BytesView) {}, {.max_bytes = 5}), Error);
  record = slave.take();
  CHECK(record.error == Errc::too_large);
  CHECK(record.bytes == 4);

  // The slave has given it all, but the local file cannot be: the operation has failed.
  slave.slave.backend->on<Fetch>([&dir](const auto&, const StreamEnds& ends, const auto&) {
    dir.write("late", "somebody else's");
    ends.out("four");
    return Fetch::Reply{.bytes = 4};
  });
  CHECK_THROWS_AS(slave->fetch("remote", Sink::file(std::string(dir / "late"))), Error);
  record = slave.take();
  CHECK(record.error == Errc::local_os_error);
  CHECK(record.os == std::errc::file_exists);
}

TEST_CASE("a callback that throws ends the operation, and is told of") {
  Audited slave;
  slave.slave.backend->on<Execute>([](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("output");
    return exits(0);
  });
  const auto throws = [](BytesView) { throw std::runtime_error("I am full"); };
  CHECK_THROWS_WITH(slave->execute({"make"}, {.out = throws}), "I am full");
  AuditRecord record = slave.take();
  CHECK(record.error == Errc::cancelled);
  CHECK(record.message == "a callback threw: I am full");
  CHECK_FALSE(record.exit_code);

  CHECK_THROWS_WITH(slave->start_execute({"make"}, {.out = throws}).wait(), "I am full");
  CHECK(slave.take().message == "a callback threw: I am full");
}

TEST_CASE("what was started is told of once: when it is waited for, cancelled or dropped") {
  Audited slave;
  slave.slave.backend->on<Execute>([](const auto&, const auto&, const auto&) { return exits(1); });
  {
    auto pending = slave->start_execute({"make"}, {.tag = "waited for"});
    CHECK(slave.told.empty());
    pending.wait();
    CHECK(slave.take().exit_code == 1);
  }
  CHECK(slave.told.empty());
  {
    auto pending = slave->start_execute({"make"}, {.tag = "cancelled"});
    pending.cancel();
    const AuditRecord record = slave.take();
    CHECK(record.tag == "cancelled");
    CHECK(record.error == Errc::cancelled);
    CHECK_THROWS_AS(pending.wait(), Cancelled);
  }
  CHECK(slave.told.empty());
  { const auto pending = slave->start_execute({"make"}); }
  CHECK(slave.take().error == Errc::cancelled);
  {
    auto pending = slave->start_execute({"make"});
    REQUIRE(pending.wait_until(block));
  }
  CHECK(slave.take().exit_code == 1);  // nobody asked, but it was done
  {
    Bytes sink;
    auto pending = slave->start_fetch("file", Sink::bytes(sink));
    REQUIRE(pending.wait_until(block));
  }
  CHECK(slave.take().error == Errc::cancelled);  // the file went nowhere
}

TEST_CASE("an operation that a handler leaves in its queue is told of without the queue's lock") {
  Audited slave;
  CompletionQueue queue;
  std::size_t left = 99;
  slave.slave.backend->audit_hook = [&](const AuditRecord&) { left = queue.size(); };
  slave->start_ping().then(queue, [](auto&&) {});
  while (queue.size() > 0) queue.poll();
  CHECK(left == 0);
}

TEST_CASE("what a hook throws changes nothing") {
  Audited slave;
  slave.slave.backend->audit_hook = [](const AuditRecord&) { throw std::runtime_error("the disk is full"); };
  CHECK_NOTHROW(slave->ping());
  { const auto pending = slave->start_ping(); }
}

TEST_CASE("a record is one line of JSON") {
  using namespace std::chrono_literals;
  AuditRecord record;
  record.start = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + 10h + 2min + 5ms + 7us;
  record.duration = 61s + 42us;
  record.slave = "w1";
  record.operation = "execute";
  record.arguments = {"sh", "a \"b\"\\\n\x7f", "\xc3\xa4", "\xff.", ""};
  CHECK(to_json_line(record) == R"({"start":"2026-11-21T10:02:00.005007Z","seconds":61.000042,"slave":"w1",)"
                                R"("operation":"execute","arguments":["sh","a \"b\"\\\u000a\u007f",)"
                                "\"\xc3\xa4\",\"\\ufffd.\",\"\"],\"end\":\"done\"}");
  record = {};
  record.key_id = "4962dc04";
  record.cwd = "d";
  record.tag = "t";
  record.error = Errc::os_error;
  record.os = std::make_error_code(std::errc::file_exists);
  record.message = "no";
  record.exit_code = 3;
  record.signal = 9;
  record.timed_out = true;
  record.went_silent = true;
  record.bytes = 12;
  CHECK(to_json_line(record) == R"({"start":"1970-01-01T00:00:00.000000Z","seconds":0.000000,"key_id":"4962dc04",)"
                                R"("cwd":"d","tag":"t","end":"os_error","errno":17,"message":"no","exit_code":3,)"
                                R"("signal":9,"timed_out":true,"went_silent":true,"bytes":12})");
}
