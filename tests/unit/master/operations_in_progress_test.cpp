// Slave::operations_in_progress(): what is listed, from when to when, and what is said of it.
#include <remsh/master/operation_in_progress.hpp>

#include "support/exits.hpp"
#include "support/fake_backend.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <remsh/master/slave.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using namespace std::chrono_literals;
using remsh::test::exits;
using remsh::test::FakeSlave;
using remsh::test::TempDir;

namespace {

using Arguments = std::vector<Bytes>;

/// Looks at the one operation of a slave, from within it.
struct Look {
  FakeSlave& fake;
  std::optional<OperationInProgress> seen = {};

  void operator()() {
    auto all = fake->operations_in_progress();
    REQUIRE(all.size() == 1);
    seen = std::move(all.front());
  }
};

/// Does `Operation` by looking at it.
template <class Operation>
void do_by_looking(FakeSlave& fake, Look& look) {
  fake.backend->on<Operation>([&look](const auto&, const auto&, const auto&) {
    look();
    return typename Operation::Reply{};
  });
}

}  // namespace

TEST_CASE("an operation is listed while it runs, with what its caller asked for") {
  FakeSlave fake("w1");
  Look look{fake};
  fake.backend->on<Execute>([&look](const auto&, const auto&, const auto&) {
    look();
    return exits(0);
  });
  CHECK(fake->operations_in_progress().empty());
  const auto before = std::chrono::system_clock::now();
  fake->execute({"make", "-j8"}, {.cwd = "src", .env = {{"TOKEN", "x"}}, .tag = "job 7"});
  REQUIRE(look.seen);
  CHECK(look.seen->id > 0);
  CHECK(look.seen->operation == "execute");
  CHECK(look.seen->arguments == Arguments{"make", "-j8"});
  CHECK(look.seen->cwd == "src");
  CHECK(look.seen->tag == "job 7");
  CHECK(look.seen->start >= before);
  CHECK(look.seen->start <= std::chrono::system_clock::now());
  CHECK(look.seen->duration.count() >= 0);
  CHECK_FALSE(look.seen->caller_left);
  CHECK(fake->operations_in_progress().empty());
}

TEST_CASE("every operation is listed with its arguments and the tag of its caller") {
  FakeSlave fake("w1");
  Look look{fake};
  for_each([&]<class Operation>(std::type_identity<Operation>) { do_by_looking<Operation>(fake, look); });
  do_by_looking<Ping>(fake, look);
  do_by_looking<operations::Call>(fake, look);
  std::uint64_t last = 0;
  const auto is = [&](const std::string& operation, const Arguments& arguments) {
    REQUIRE(look.seen);
    CHECK(look.seen->operation == operation);
    CHECK(look.seen->arguments == arguments);
    CHECK(look.seen->tag == "t");
    CHECK(look.seen->id > last);
    last = look.seen->id;
    look.seen.reset();
  };
  fake->set_cwd(CallOptions{.tag = "t"}), is("set_cwd", {});
  fake->set_cwd("d", {.tag = "t"}), is("set_cwd", {"d"});
  fake->getenv({.tag = "t"}), is("getenv", {});
  fake->read_info({.tag = "t"}), is("read_info", {});
  fake->mkdir("d", {.tag = "t"}), is("mkdir", {"d"});
  fake->remove("d", {.tag = "t"}), is("remove", {"d"});
  fake->rename("a", "b", {.tag = "t"}), is("rename", {"a", "b"});
  fake->copy("a", "b", {.tag = "t"}), is("copy", {"a", "b"});
  fake->stat("a", {.tag = "t"}), is("stat", {"a"});
  fake->list("a", {.tag = "t"}), is("list", {"a"});
  fake->execute({"make", "--password=hunter2"}, {.secrets = {"hunter2"}, .tag = "t"}),
      is("execute", {"make", "--password=***"});
  fake->send(Source::bytes("x"), "a", {.tag = "t"}), is("send", {"a"});
  const TempDir dir;
  const std::string path = dir / "local";
  fake->fetch("a", Sink::file(path), {.tag = "t"}), is("fetch", {"a", path});
  fake->call("own", {{"key", "secret"}}, {.tag = "t"}), is("call", {"own"});
  fake->print("message", {.tag = "t"}), is("print", {});
  fake->log_tail(9, {.tag = "t"}), is("log_tail", {});
  fake->operations({.tag = "t"}), is("operations", {});
  fake->host_facts({.tag = "t"}), is("host_facts", {});
  fake->shutdown({.tag = "t"}), is("shutdown", {});
  fake->ping({.tag = "t"}), is("ping", {});
}

TEST_CASE("of a transfer it is listed how far it is") {
  FakeSlave fake("w1");
  Look look{fake};
  fake.backend->on<Fetch>([&look](const auto&, const StreamEnds& ends, const auto&) {
    look();
    CHECK_FALSE(look.seen->bytes_total);
    ends.size(8);
    ends.out("four");
    look();
    ends.out("more");
    return Fetch::Reply{.bytes = 8};
  });
  Bytes fetched;
  fake->fetch("remote", Sink::bytes(fetched));
  CHECK(look.seen->bytes_out == 4);
  CHECK(look.seen->bytes_in == 0);
  CHECK(look.seen->bytes_total == 8);

  fake.backend->on<Send>([&look](const auto&, const StreamEnds& ends, const auto&) {
    std::vector<char> room(5);
    ends.in(room);
    look();
    while (ends.in(room) > 0) continue;
    return Send::Reply{.bytes = 7};
  });
  fake->send(Source::bytes("content"), "remote");
  CHECK(look.seen->bytes_in == 5);
  CHECK(look.seen->bytes_out == 0);
  CHECK(look.seen->bytes_total == 7);
}

TEST_CASE("of a command both its outputs count") {
  FakeSlave fake("w1");
  Look look{fake};
  fake.backend->on<Execute>([&look](const auto&, const StreamEnds& ends, const auto&) {
    ends.out("four");
    ends.err("more");
    look();
    return exits(0);
  });
  fake->execute({"make"});
  CHECK(look.seen->bytes_out == 8);
  CHECK_FALSE(look.seen->bytes_total);
}

TEST_CASE("an operation that its caller has left is listed until the slave has ended it") {
  FakeSlave fake("w1");
  const auto left = [&fake]() -> OperationInProgress {
    const auto all = fake->operations_in_progress();
    REQUIRE(all.size() == 1);
    CHECK(all.front().caller_left);
    CHECK(all.front().operation == "execute");
    CHECK(all.front().arguments == Arguments{"make"});
    CHECK(all.front().duration.count() >= 0);
    return all.front();
  };
  const auto is_over = [&fake] {
    fake.backend->answer();
    return fake->operations_in_progress().empty();
  };

  fake.backend->on<Execute>([](const auto&, const StreamEnds& ends, const auto&) -> Result<Execute::Reply> {
    ends.out("output");
    return Failure{Errc::timeout, "the deadline passed", 0};
  });
  fake.backend->go_on();
  CHECK_THROWS_AS(fake->execute({"make"}, {.tag = "a"}), Timeout);
  CHECK(left().tag == "a");
  CHECK(left().bytes_out == 6);
  CHECK(is_over());

  fake.backend->go_on();
  const auto throws = [](BytesView) { throw std::runtime_error("I am full"); };
  CHECK_THROWS_WITH(fake->execute({"make"}, {.out = throws, .tag = "b"}), "I am full");
  CHECK(left().tag == "b");
  CHECK(is_over());

  fake.backend->on<Execute>([](const auto&, const auto&, const Patience& options) -> Result<Execute::Reply> {
    std::promise<void> stopped;
    const std::stop_callback on_stop(options.stop, [&] { stopped.set_value(); });
    stopped.get_future().wait();
    return Failure{Errc::cancelled, "stopped", 0};
  });
  fake.backend->go_on();
  { const auto dropped = fake->start_execute({"make"}, {.tag = "c"}); }
  CHECK(left().tag == "c");
  CHECK(is_over());

  fake.backend->go_on();
  auto cancelled = fake->start_execute({"make"}, {.tag = "d"});
  cancelled.cancel();
  CHECK(left().tag == "d");
  CHECK(is_over());
  CHECK_THROWS_AS(cancelled.wait(), Cancelled);
}

TEST_CASE("an operation that has failed at the slave is not listed any more") {
  FakeSlave fake("w1");
  fake.backend->on<Remove>([](const auto&, const auto&, const auto&) -> Result<Nothing> {
    return Failure{Errc::os_error, "no", 0};
  });
  CHECK_THROWS_AS(fake->remove("a"), RemoteError);
  CHECK(fake->operations_in_progress().empty());
}

TEST_CASE("when the slave is lost nothing of it is listed") {
  FakeSlave fake("w1");
  fake.backend->on<Ping>([](const auto&, const auto&, const auto&) -> Result<Nothing> {
    return Failure{Errc::timeout, "late", 0};
  });
  fake.backend->go_on();
  CHECK_THROWS_AS(fake->ping(), Timeout);
  CHECK(fake->operations_in_progress().size() == 1);
  fake->disconnect();
  CHECK(fake->operations_in_progress().empty());
}

TEST_CASE("a started operation is listed until its outcome is taken or dropped") {
  FakeSlave fake("w1");
  auto taken = fake->start_mkdir("a");
  auto dropped = fake->start_mkdir("b");
  REQUIRE(taken.wait_until(block));
  REQUIRE(dropped.wait_until(block));
  auto all = fake->operations_in_progress();
  REQUIRE(all.size() == 2);
  CHECK(all[0].arguments == Arguments{"a"});
  CHECK(all[1].arguments == Arguments{"b"});
  taken.wait();
  { const auto gone = std::move(dropped); }
  CHECK(fake->operations_in_progress().empty());
}

TEST_CASE("what is refused before it is begun is not listed") {
  FakeSlave fake("w1");
  CHECK_THROWS_AS(fake->stat(""), Error);
  CHECK_THROWS_AS(fake->send(Source::file("/no/such/file"), "a"), Error);
  CHECK(fake->operations_in_progress().empty());
}

TEST_CASE("many threads begin and leave operations while others look") {
  FakeSlave fake("w1");
  std::atomic<int> working = 4;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        fake->stat("some path", {.tag = "a tag that is too long to be kept in a string itself"});
        const auto dropped = fake->start_stat("another");
      }
      --working;
    });
  }
  std::size_t most = 0;
  while (working > 0) {
    for (const auto& each : fake->operations_in_progress()) {
      if (each.operation != "stat") FAIL_CHECK("not an operation of ours: " << each.operation);
    }
    most = std::max(most, fake->operations_in_progress().size());
  }
  threads.clear();
  CHECK(most <= 8);
  CHECK(fake->operations_in_progress().empty());
}
