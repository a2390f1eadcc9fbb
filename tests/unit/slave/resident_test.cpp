// Resident: what a slave keeps when a connection ends, and what ends with it.
#include "slave/resident.hpp"

#include "base/clock.hpp"
#include "operations/operations.hpp"
#include "support/fake_served_call.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

using namespace remsh;
using operations::Execute;
using operations::OutputMode;
using rpc::StreamName;
using test::FakeServedCall;
using test::TempDir;

namespace {

/// A command that says that it runs, and goes on.
std::shared_ptr<FakeServedCall> start_command(const ServedSession& session) {
  Execute::Request command;
  command.args = {"/bin/sh", "-c", "echo runs; exec sleep 100000"};
  command.out = OutputMode::stream;
  auto call = std::make_shared<FakeServedCall>("execute", to_box(command));
  session.dispatcher->dispatch(call);
  call->wait_sent(StreamName::out, 5);
  return call;
}

Box call_of(const ServedSession& session, const std::string& name, Box arguments = {}) {
  const auto call = std::make_shared<FakeServedCall>(name, std::move(arguments));
  session.dispatcher->dispatch(call);
  auto outcome = call->outcome();
  REQUIRE(outcome);
  return std::move(*outcome);
}

}  // namespace

TEST_CASE("the commands of a session end with its connection, and those of another session go on") {
  const TempDir dir;
  const SlaveOptions options{.name = "w1", .basedir = dir.path()};
  Resident resident(options, real_clock());
  ServedSession first = resident.begin_session(resident.open_workplace());
  ServedSession second = resident.begin_session(resident.open_workplace());
  const auto ended = start_command(first);
  const auto goes_on = start_command(second);
  CHECK(resident.operations_in_progress().size() == 2);

  resident.connection_ended(first);
  const auto outcome = ended->outcome();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().code == Errc::cancelled);
  CHECK_FALSE(goes_on->is_over());
  CHECK(resident.operations_in_progress().size() == 1);

  resident.end_session(std::move(first));
  CHECK_FALSE(goes_on->is_over());
  resident.end_session(std::move(second));
  CHECK(goes_on->is_over());
  CHECK(resident.operations_in_progress().empty());
}

TEST_CASE("each session begins in the base directory, whatever the one before did") {
  const TempDir dir;
  const SlaveOptions options{.name = "w1", .basedir = dir.path()};
  Resident resident(options, real_clock());
  ServedSession first = resident.begin_session(resident.open_workplace());
  call_of(first, "mkdir", Box{{"path", "sub"}});
  const Bytes sub(call_of(first, "set_cwd", Box{{"path", "sub"}}).get("path").value_or(""));
  ServedSession second = resident.begin_session(resident.open_workplace());
  const Bytes base(call_of(second, "set_cwd", Box{{"path", ""}}).get("path").value_or(""));
  CHECK(sub == base + "/sub");
  resident.end_session(std::move(first));
  resident.end_session(std::move(second));
}

TEST_CASE("an operation of the owner outlives its session, and the resident waits for it") {
  const TempDir dir;
  const SlaveOptions options{.name = "w1", .basedir = dir.path()};
  auto resident = std::make_unique<Resident>(options, real_clock());
  std::promise<void> begun;
  std::promise<void> end;
  bool has_ended = false;
  CHECK(resident->add_operation("own", [&](OperationContext&) {
    begun.set_value();
    end.get_future().wait();
    has_ended = true;
    return Box{};
  }));
  CHECK_FALSE(resident->add_operation("own", [](OperationContext&) { return Box{}; }));
  ServedSession session = resident->begin_session(resident->open_workplace());
  auto running = std::async(std::launch::async, [dispatcher = session.dispatcher] {
    dispatcher->dispatch(std::make_shared<FakeServedCall>("own"));
  });
  begun.get_future().wait();
  resident->connection_ended(session);
  resident->end_session(std::move(session));
  CHECK(resident->operations_in_progress().size() == 1);
  end.set_value();
  resident.reset();
  CHECK(has_ended);
  running.get();
}
