// Tests of looking names up, with name servers that never answer.
#include "transport/look_up.hpp"

#include "support/has.hpp"
#include "unit/transport/addresses.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::farm_address;
using remsh::test::has;

namespace {

AddressList some_address() { return std::move(ask_system({Address::Kind::tcp, "127.0.0.1", 80, {}})).value(); }

/// A name server that does not answer before it is told to. What waits for it may outlive it, and owns the rest.
class SilentServer {
 public:
  ~SilentServer() { answer(); }
  [[nodiscard]] LookUp look_up() const {
    return [answered = answered_](const Address&) -> Result<AddressList> {
      answered.wait();
      return some_address();
    };
  }
  void answer() {
    if (!std::exchange(has_answered_, true)) answer_.set_value();
  }

 private:
  std::promise<void> answer_;
  std::shared_future<void> answered_ = answer_.get_future().share();
  bool has_answered_ = false;
};

}  // namespace

TEST_CASE("a number is not looked up") {
  const LookUp never = [](const Address&) -> Result<AddressList> { throw std::logic_error("asked"); };
  for (const auto& [host, shown] : {std::pair("127.0.0.1", "127.0.0.1:80"), std::pair("::1", "[::1]:80")}) {
    const auto list = look_up({Address::Kind::tcp, host, 80, {}}, no_wait, {}, never);
    REQUIRE(list.ok());
    REQUIRE(list->size() == 1);
    CHECK(to_string(list->front()) == shown);
  }
}

TEST_CASE("a name is looked up, and what goes wrong is told") {
  const auto found = look_up(farm_address, 60s, {}, [](const Address& name) -> Result<AddressList> {
    return name == farm_address ? some_address() : AddressList();
  });
  REQUIRE(found.ok());
  CHECK(*found == some_address());
  const auto failed = look_up(farm_address, 60s, {}, [](const Address&) -> Result<AddressList> {
    return Failure{Errc::local_os_error, "no such name", 0};
  });
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.failure().message == "no such name");
  const auto threw = look_up(farm_address, 60s, {},
                             [](const Address&) -> Result<AddressList> { throw std::runtime_error("no memory"); });
  REQUIRE_FALSE(threw.ok());
  CHECK(has(threw.failure().message, "no memory"));
}

TEST_CASE("a name server that does not answer is given up at the deadline") {
  const SilentServer server;
  Failure late;
  for (const auto patience : {10ms, 1000ms, 10000ms}) {  // the look-up must begin in time
    late = look_up(farm_address, patience, {}, server.look_up()).failure();
    CHECK(late.code == Errc::timeout);
    if (!has(late.message, "there was no time left for it")) break;
  }
  CHECK(has(late.message, "look up 'farm.example': no answer from the name server in time"));
  CHECK(has(look_up(farm_address, no_wait, {}, server.look_up()).failure().message, "there was no time left for it"));
}

TEST_CASE("a name server that does not answer is given up when stopped") {
  const SilentServer server;
  std::stop_source stop;
  std::promise<void> asked;
  std::jthread stopper([&] {
    asked.get_future().get();
    stop.request_stop();
  });
  const auto stopped = look_up(farm_address, Deadline(), stop.get_token(),
                               [&asked, silent = server.look_up()](const Address& name) -> Result<AddressList> {
                                 asked.set_value();
                                 return silent(name);
                               });
  REQUIRE_FALSE(stopped.ok());
  CHECK(stopped.failure().code == Errc::cancelled);
}

TEST_CASE("look-ups that were given up are bounded: a further one waits, and says so when it cannot begin in time") {
  auto server = std::make_unique<SilentServer>();
  const auto begun = std::make_shared<std::atomic<unsigned>>(0);
  while (*begun < max_look_ups) {  // one that has no time left, or no turn yet, does not begin
    const auto asked = [begun, silent = server->look_up()](const Address& name) {
      ++*begun;
      return silent(name);
    };
    CHECK(look_up(farm_address, 1ms, {}, asked).failure().code == Errc::timeout);
  }
  const auto at_once = [](const Address&) -> Result<AddressList> { return some_address(); };
  const auto late = look_up(farm_address, 1ms, {}, at_once);
  REQUIRE_FALSE(late.ok());
  CHECK(late.failure().code == Errc::timeout);
  CHECK(has(late.failure().message, "16 others have no answer yet"));
  CHECK(look_up({Address::Kind::tcp, "127.0.0.1", 80, {}}, no_wait, {}, at_once).ok());
  auto patient = std::async(std::launch::async, [&] { return look_up(farm_address, 60s, {}, at_once); });
  server->answer();
  CHECK(patient.get().ok());
}
