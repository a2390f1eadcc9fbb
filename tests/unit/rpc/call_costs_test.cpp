// What a small call costs its caller in system calls, and that it wakes no other thread of the master's.
#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "support/each_socket.hpp"
#include "support/peer_pair.hpp"
#include "support/played_calls.hpp"
#include "support/skip.hpp"
#include "support/system_calls.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef REMSH_CAN_COUNT

namespace call_costs_test {

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;
using CallEvent = rpc::Call::Event;
using CallKind = rpc::Call::Kind;

// Its clock stands still, so what the io thread does because of the time is only to look at the time again.
const auto looks_at_the_time = {SystemCall::epoll_wait, SystemCall::timerfd_settime};

/// A master's peer whose slave is played by the thread of the test, which so sees what the caller alone has cost.
struct CallerAlone {
  explicit CallerAlone(TransportPair transports)
      : slave(std::move(transports.second)),
        peer(rpc::Peer::start(std::move(transports.first), loop, without_pings())) {}
  CallerAlone(const CallerAlone&) = delete;
  CallerAlone& operator=(const CallerAlone&) = delete;
  ~CallerAlone() { loop.end(peer); }

  /// A call whose answer is there before the caller waits for it. Adds what the caller has cost.
  void call(SystemCalls& cost) {
    SystemCalls before = system_calls_of_this_thread();
    auto made = std::make_unique<rpc::Call>(peer, "stat", Box{{"path", "/tmp"}}, CallKind::plain, Patience{});
    cost += system_calls_of_this_thread() - before;
    answer_next(slave);
    before = system_calls_of_this_thread();
    REQUIRE(made->next() == CallEvent::answered);
    made.reset();
    cost += system_calls_of_this_thread() - before;
  }

  SystemCalls series(int calls) {
    SystemCalls cost;
    for (int i = 0; i < calls; ++i) call(cost);
    return cost;
  }

  StoppedLoop loop;
  RawEnd slave;
  std::shared_ptr<rpc::Peer> peer;
};

/// In a series each call costs its caller one read and one write, and the other threads nothing. `prepare` is called
/// before each attempt.
template <class Prepare>
void check_series(CallerAlone& one, const Prepare& prepare) {
  const std::string wanted = "recv 100, sendmsg 100";
  std::string mine;
  std::string of_others;
  CHECK(succeeds_once([&] {
    prepare();
    const SystemCalls before = system_calls_of_other_threads();
    mine = one.series(100).text();
    of_others = (system_calls_of_other_threads() - before).without(looks_at_the_time).text();
    return mine == wanted && of_others.empty();
  }));
  CHECK(mine == wanted);
  CHECK(of_others == "");
}

TEST_CASE("a small call in a series costs its caller one write and one read, and no other thread anything") {
  over_each_socket([](const auto& transports) {
    CallerAlone one(transports());
    static_cast<void>(one.series(3));  // from the second one on the peer rests between them
    check_series(one, [] {});
  });
}

TEST_CASE("a small call beside others that are open and quiet costs its caller no more") {
  over_each_socket([](const auto& transports) {
    CallerAlone one(transports());
    std::vector<std::unique_ptr<rpc::Call>> suspended;
    std::stop_source stop;
    for (int i = 0; i < 20; ++i) {
      suspended.push_back(std::make_unique<rpc::Call>(one.peer, "keep", Box{}, CallKind::plain, Patience{}));
      suspended.back()->suspend();
      static_cast<void>(one.slave.read());
    }
    Patience options;
    options.stop = stop.get_token();
    std::thread quiet([&] { static_cast<void>(call(one.peer, "keep", {}, options)); });
    static_cast<void>(one.slave.read());
    check_series(one, [&one] {
      one.loop.advance(1s);  // so that the quiet caller, once it waits, does not read for the others any more
      static_cast<void>(one.series(3));
    });
    stop.request_stop();
    quiet.join();
    suspended.clear();
  });
}

TEST_CASE("a small call on a slave that was idle costs its caller two changes of the watch more") {
  over_each_socket([](const auto& transports) {
    auto [ours, theirs] = transports();
    StoppedLoop loop;
    RawEnd slave(std::move(theirs));
    const auto peer = rpc::Peer::start(std::move(ours), loop, without_pings());
    std::thread played([&slave] {
      while (answer_next(slave)) continue;
    });
    const std::string wanted = "epoll_ctl 2, recv 1, sendmsg 1";
    std::string mine;
    CHECK(succeeds_once([&] {
      for (int i = 0; i < 3; ++i) loop.advance(20ms);  // longer than any rest
      const SystemCalls before = system_calls_of_this_thread();
      REQUIRE(call(peer, "stat", {{"path", "/tmp"}}));
      mine = (system_calls_of_this_thread() - before).text();
      return mine == wanted;
    }));
    CHECK(mine == wanted);
    loop.end(peer);
    played.join();
  });
}

TEST_CASE("the second call of a series sets the timer of the rests, and the later ones do not") {
  over_each_socket([](const auto& transports) {
    CallerAlone one(transports());
    for (int round = 0; round < 3; ++round) {
      CAPTURE(round);
      for (int i = 0; i < 3; ++i) one.loop.advance(20ms);
      static_cast<void>(one.series(1));
      CHECK(one.series(1)[SystemCall::epoll_ctl] <= 2);  // the watch ends, and the io thread is told of the timer
      CHECK(one.series(10)[SystemCall::epoll_ctl] == 0);
    }
  });
}

}  // namespace call_costs_test

#else
TEST_CASE("what a small call costs its caller") {
  remsh::test::skip("system calls cannot be counted here: a sanitizer replaces the same functions");
}
#endif
