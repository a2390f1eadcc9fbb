// Link: the connection that a session has; which events of its watch count.
#include "session/link.hpp"

#include "support/transport_calls.hpp"
#include "unit/transport/recorder.hpp"

#include <remsh/transport/memory.hpp>

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

using namespace remsh;
using remsh::test::put;
using remsh::test::Recorder;

TEST_CASE("only the event of the last arming counts, and only once") {
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  auto [near, far] = memory_pair();
  Link link;
  CHECK_FALSE(link.is_open());
  link.open(std::move(near), *loop, recorder);
  REQUIRE(link.is_open());
  link.arm(Ready::write);
  recorder->wait_for(1);
  const std::uint32_t first = recorder->event(0).first;
  link.arm(Ready::read);
  CHECK_FALSE(link.take_event(first));
  CHECK(link.armed() == Ready::read);
  put(*far, "x");
  recorder->wait_for(2);
  const std::uint32_t second = recorder->event(1).first;
  CHECK(link.take_event(second));
  CHECK(link.armed() == Ready::none);
  link.arm(Ready::read);
  recorder->wait_for(3);
  link.cut();
  CHECK_FALSE(link.take_event(recorder->event(2).first));
  loop->stop();
}

TEST_CASE("a connection that is cut is shut down, and what was read before stays") {
  const auto loop = Loop::start();
  auto [near, far] = memory_pair();
  Link link;
  link.open(std::move(near), *loop, std::weak_ptr<Watched>());
  std::array<char, 8> buffer{};
  put(*far, "last");
  link.cut();
  link.cut();
  CHECK(far->write_some(std::array{std::string_view("x")}).status == IoResult::Status::failed);
  CHECK(link.read(buffer, Duration::zero()).bytes == 4);
  CHECK(link.read(buffer, Duration::zero()).status == IoResult::Status::end);
  CHECK(link.broken("read", 104).message.find("read") != std::string::npos);
  link.close();
  CHECK_FALSE(link.is_open());
  loop->stop();
}

TEST_CASE("a link can have one connection after the other, and the events of the first do not count for the second") {
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  auto [near, far] = memory_pair();
  auto [next, other] = memory_pair();
  Link link;
  link.open(std::move(near), *loop, recorder);
  link.arm(Ready::write);
  recorder->wait_for(1);
  link.close();
  link.open(std::move(next), *loop, recorder);
  CHECK(link.armed() == Ready::none);
  CHECK_FALSE(link.take_event(recorder->event(0).first));
  link.arm(Ready::write);
  recorder->wait_for(2);
  CHECK(link.take_event(recorder->event(1).first));
  link.close();
  loop->stop();
}
