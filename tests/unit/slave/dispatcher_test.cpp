#include "slave/dispatcher.hpp"

#include "support/fake_served_call.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <ios>
#include <stdexcept>
#include <system_error>

using namespace remsh;
using remsh::test::FakeServedCall;

namespace {

Failure dispatch_failure(const Dispatcher& dispatcher, const std::string& command) {
  const auto call = std::make_shared<FakeServedCall>(command);
  dispatcher.dispatch(call);
  const auto outcome = call->outcome();
  REQUIRE_FALSE(outcome);
  return outcome.failure();
}

}  // namespace

TEST_CASE("a call goes to the handler of its name") {
  Dispatcher dispatcher;
  CHECK(dispatcher.add("a", [](const auto& call) { call->answer(Box{{"from", "a"}}); }));
  CHECK(dispatcher.add("b", [](const auto& call) { call->answer(Box{{"from", "b"}}); }));
  const auto call = std::make_shared<FakeServedCall>("b");
  dispatcher.dispatch(call);
  CHECK(call->outcome()->get("from") == "b");
}

TEST_CASE("a name is taken once") {
  Dispatcher dispatcher;
  CHECK(dispatcher.add("a", [](const auto& call) { call->answer(Box{{"from", "first"}}); }));
  CHECK_FALSE(dispatcher.add("a", [](const auto& call) { call->answer(Box{{"from", "second"}}); }));
  const auto call = std::make_shared<FakeServedCall>("a");
  dispatcher.dispatch(call);
  CHECK(call->outcome()->get("from") == "first");
}

TEST_CASE("an unknown name is unsupported, whatever its bytes") {
  const Failure failure = dispatch_failure(Dispatcher(), "no\n");
  CHECK(failure.code == Errc::unsupported);
  CHECK(failure.message == "no such operation: 'no\\x0A'");
}

TEST_CASE("what a handler throws is the failure of its call") {
  Dispatcher dispatcher;
  dispatcher.add("system", [](const auto&) { throw std::system_error(ENOSPC, std::generic_category(), "write"); });
  dispatcher.add("stream", [](const auto&) { throw std::ios_base::failure("torn"); });
  dispatcher.add("other", [](const auto&) { throw std::runtime_error("it broke"); });
  dispatcher.add("odd", [](const auto&) { throw 7; });
  dispatcher.add("late", [](const auto& call) {
    call->answer({{"a", "b"}});
    throw std::runtime_error("too late");
  });

  CHECK(dispatch_failure(dispatcher, "system").code == Errc::os_error);
  CHECK(dispatch_failure(dispatcher, "system").os == ENOSPC);
  CHECK(dispatch_failure(dispatcher, "stream").code == Errc::remote_failure);
  CHECK(dispatch_failure(dispatcher, "stream").os == 0);
  CHECK(dispatch_failure(dispatcher, "other").code == Errc::remote_failure);
  CHECK(dispatch_failure(dispatcher, "other").message == "it broke");
  CHECK(dispatch_failure(dispatcher, "odd").code == Errc::remote_failure);

  const auto late = std::make_shared<FakeServedCall>("late");
  dispatcher.dispatch(late);
  CHECK(late->outcome().value() == Box{{"a", "b"}});
}
