// Peers take the time from the clock of their loop: hours pass without waiting.
#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "support/fake_clock.hpp"
#include "support/peer_pair.hpp"
#include "transport/loop.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <memory>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::rpc;
using namespace std::chrono_literals;
using remsh::test::FakeClock;
using CallEvent = rpc::Call::Event;

namespace {

/// A loop whose clock stands still, with one function that moves it.
struct StillLoop {
  StillLoop() = default;
  StillLoop(const StillLoop&) = delete;
  StillLoop& operator=(const StillLoop&) = delete;
  ~StillLoop() { loop->stop(); }

  /// Returns when the timers that are due have run.
  void advance(Duration by) {
    clock.advance(by);
    loop->clock_moved();
    std::promise<void> done;
    loop->post([&done] { done.set_value(); });
    done.get_future().wait();
  }

  FakeClock clock;
  const std::shared_ptr<Loop> loop = Loop::start(clock);
};

Peer::Options patient() {
  Peer::Options options;
  options.session.keepalive = 1h;
  options.session.patience = 1h;
  return options;
}

}  // namespace

TEST_CASE("a silent other side is given up when the clock says so, and not before") {
  StillLoop still;
  std::promise<void> ended;
  Peer::Options options = patient();
  options.on_end = [&ended](Peer&) { ended.set_value(); };
  auto transports = memory_pair();
  const auto peer = Peer::start(std::move(transports.first), still.loop, std::move(options));
  for (int minute = 0; minute < 119; ++minute) still.advance(1min);
  CHECK_FALSE(peer->ended());
  still.advance(1min);
  ended.get_future().wait();
  CHECK(peer->ended()->reason == DisconnectReason::silent);
  peer->wait_until_left();
}

TEST_CASE("two quiet peers keep each other alive for hours") {
  StillLoop still;
  Peer::Options slave = test::serving({});
  slave.session.keepalive = slave.session.patience = 1h;
  test::PeerPair pair(still.loop, memory_pair(), std::move(slave), patient());
  for (int step = 0; step < 600; ++step) still.advance(1min);
  CHECK_FALSE(pair.master->ended());
  CHECK_FALSE(pair.slave->ended());
}

TEST_CASE("the deadline of a suspended call is one of the clock") {
  StillLoop still;
  auto transports = memory_pair();
  const auto peer = Peer::start(std::move(transports.first), still.loop, patient());
  {
    std::promise<void> woken;
    rpc::Call call(peer, "work", {}, rpc::Call::Kind::plain, {.deadline = still.clock.now() + 30min});
    CHECK_FALSE(call.poll(false, [&woken] { woken.set_value(); }));
    still.advance(29min);
    CHECK_FALSE(call.poll(false, [&woken] { woken.set_value(); }));
    still.advance(1min);
    woken.get_future().wait();
    CHECK(call.poll(false, {}) == CallEvent::failed);
    CHECK(call.failure().code == Errc::timeout);
  }
  test::end(peer);
}

TEST_CASE("a call that is suspended is read for at once, though the peer rests after calls that follow each other") {
  StillLoop still;  // so that no rest ends by itself
  test::PeerPair pair(still.loop, memory_pair(), test::serving({{"echo", test::echo}}), patient());
  for (int i = 0; i < 3; ++i) REQUIRE(test::call(pair.master, "echo"));
  std::promise<void> woken;
  rpc::Call call(pair.master, "echo", {}, rpc::Call::Kind::plain, {});
  if (!call.poll(false, [&woken] { woken.set_value(); })) {
    REQUIRE(woken.get_future().wait_for(10s) == std::future_status::ready);
    CHECK(call.poll(false, {}) == CallEvent::answered);
  }
}

TEST_CASE("a caller who uses what came before does not keep its peer from reading") {
  StillLoop still;
  std::promise<void> written;
  test::PeerPair pair(still.loop, memory_pair(),
                      test::serving({{"burst",
                                      [&written](const test::Served& served) {
                                        for (int i = 0; i < 64; ++i) {
                                          served->write(StreamName::out, Block(), 1);
                                        }
                                        written.set_value();
                                        served->answer({});
                                      }}}),
                      patient());
  rpc::Call call(pair.master, "burst", {}, rpc::Call::Kind::streaming, {});
  REQUIRE(call.next() == CallEvent::chunk);
  written.get_future().wait();
  REQUIRE(call.next() == CallEvent::chunk);
  REQUIRE(call.next() == CallEvent::chunk);
  pair.slave->close("enough");
  // One piece after the other, each within a slice of the one before: the loop reads long before the last one.
  int pieces = 0;
  for (; pieces < 50 && !pair.master->ended(); ++pieces) {
    still.advance(9ms);
    REQUIRE(call.next() == CallEvent::chunk);
  }
  CHECK(pieces < 50);
}

TEST_CASE("calls that are started one after the other do not keep their peer from reading") {
  StillLoop still;
  test::PeerPair pair(still.loop, memory_pair(), test::serving({{"echo", test::echo}}), patient());
  std::vector<std::unique_ptr<rpc::Call>> calls;
  CHECK(test::succeeds_once([&] {
    calls.push_back(std::make_unique<rpc::Call>(pair.master, "echo", Box{}, rpc::Call::Kind::plain, Patience{}));
    calls.back()->suspend();
    still.advance(9ms);
    return calls.size() > 4 && calls.front()->next_until(false, TimePoint()) == CallEvent::answered;
  }));
}
