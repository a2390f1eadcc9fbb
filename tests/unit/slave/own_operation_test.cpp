#include "slave/own_operation.hpp"

#include "support/fake_served_call.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <remsh/base/error.hpp>

#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using remsh::rpc::StreamName;
using remsh::test::FakeServedCall;
using remsh::test::TempDir;

namespace {

/// Does one call by an operation, as the dispatcher does.
struct ServedOwnOperation {
  TempDir dir;
  std::shared_ptr<Workplace> workplace = *Workplace::open(dir.path());

  Result<Box> run(const std::shared_ptr<FakeServedCall>& call, const Operation& operation) const {
    run_guarded(*call, [&] { run_own_operation(operation, call, *workplace); });
    return call->outcome();
  }
  Result<Box> run(const Box& arguments, const Operation& operation) const {
    return run(std::make_shared<FakeServedCall>("own", arguments), operation);
  }
};

Box echo_arguments(OperationContext& context) { return context.arguments(); }

}  // namespace

TEST_CASE("an operation of the owner's gets its arguments without the keys of the protocol") {
  const ServedOwnOperation session;
  const auto answer =
      session.run(Box{{"_cwd", "."}, {"_in", "1"}, {"_later", "x"}, {"_out", "1"}, {"a", "b"}}, echo_arguments);
  REQUIRE(answer);
  CHECK(*answer == Box{{"a", "b"}});
}

TEST_CASE("arguments without keys of the protocol are not copied") {
  const ServedOwnOperation session;
  const auto call = std::make_shared<FakeServedCall>("own", Box{{"a", "b"}});
  const Box* seen = nullptr;
  REQUIRE(session.run(call, [&seen](OperationContext& context) {
    seen = &context.arguments();
    return Box();
  }));
  CHECK(seen == &call->arguments());
}

TEST_CASE("keys of the protocol that make no sense fail the call before the operation begins") {
  const ServedOwnOperation session;
  for (const Box& arguments : {Box{{"_in", "2"}}, Box{{"_out", ""}}, Box{{"_cwd", ""}}, Box{{"_cwd", {"\0", 1}}}}) {
    const auto answer = session.run(arguments, [](OperationContext&) -> Box {
      FAIL("it has begun");
      return {};
    });
    REQUIRE_FALSE(answer);
    CHECK(answer.failure().code == Errc::invalid_argument);
  }
}

TEST_CASE("what an operation writes is cut into pieces, in their order") {
  const ServedOwnOperation session;
  Bytes text;
  for (int i = 0; i < 100'000; ++i) text += static_cast<char>(i % 251);
  const auto call = std::make_shared<FakeServedCall>("own", Box{{"_out", "1"}});
  REQUIRE(session.run(call, [&](OperationContext& context) {
    context.write(text);
    context.write("");
    context.write("end");
    return Box();
  }));
  CHECK(call->sent(StreamName::out) == text + "end");
}

TEST_CASE("an operation that has read to the end goes on to read the end") {
  const ServedOwnOperation session;
  const auto call = std::make_shared<FakeServedCall>("own", Box{{"_in", "1"}});
  call->feed("one");
  call->feed("two");
  call->end_input();
  std::vector<Bytes> pieces;
  REQUIRE(session.run(call, [&](OperationContext& context) {
    for (int i = 0; i < 4; ++i) pieces.emplace_back(context.read());
    return Box();
  }));
  CHECK(pieces == std::vector<Bytes>{"one", "two", "", ""});
}

TEST_CASE("an operation whose caller has left throws where it reads or writes, with streams or without") {
  const ServedOwnOperation session;
  for (const Box& arguments : {Box(), Box{{"_in", "1"}, {"_out", "1"}}}) {
    const auto call = std::make_shared<FakeServedCall>("own", arguments);
    call->set_room(StreamName::out, 0);
    call->cancel();
    const auto answer = session.run(call, [](OperationContext& context) {
      CHECK_THROWS_AS(static_cast<void>(context.read()), Cancelled);
      CHECK(context.stop_token().stop_requested());
      context.write("x");
      return Box();
    });
    REQUIRE_FALSE(answer);
    CHECK(answer.failure().code == Errc::cancelled);
  }
}

TEST_CASE("a Cancelled that is about something else is a failure like any other") {
  const ServedOwnOperation session;
  const auto answer = session.run(Box(), [](OperationContext&) -> Box {
    throw Cancelled(Errc::cancelled, "another", "execute", "cancelled by the caller");
  });
  REQUIRE_FALSE(answer);
  CHECK(answer.failure().code == Errc::remote_failure);
}

TEST_CASE("the token of an operation is stopped when its caller leaves, and not by its streams") {
  const ServedOwnOperation session;
  const auto call = std::make_shared<FakeServedCall>("own", Box{{"_in", "1"}});
  std::promise<std::stop_token> given;
  std::jthread thread([&] {
    static_cast<void>(session.run(call, [&](OperationContext& context) {
      given.set_value(context.stop_token());
      CHECK(context.stop_token() == context.stop_token());
      while (!context.read().empty()) continue;
      return Box();
    }));
  });
  const std::stop_token token = given.get_future().get();
  call->feed("x");
  call->wait_used(1);
  CHECK_FALSE(token.stop_requested());
  call->cancel();
  thread.join();
  CHECK(token.stop_requested());
}
