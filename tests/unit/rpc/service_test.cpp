// PeerService and the server threads: how a slave's side does what it is asked, side by side and in few writes.
#include "rpc/service.hpp"

#include "support/fake_clock.hpp"
#include "support/peer_pair.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;
using rpc::Peer;
using rpc::StreamName;
using CallEvent = rpc::Call::Event;
using CallKind = rpc::Call::Kind;

namespace {

/// A relay as the io thread runs one: sends `size` bytes as there is room, whoever tells it.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  Relay(Served served, std::size_t size) : served_(std::move(served)), left_(size) {}
  ~Relay() { ++gone; }

  void start() {
    served_->on_change([self = shared_from_this()] { self->step(); });
  }

  std::atomic<int> steps{0};
  static inline std::atomic<int> gone{0};

 private:
  void step() {
    ++steps;
    if (served_->cancelled()) {
      served_->fail({Errc::cancelled, "", 0});
      return;
    }
    while (const auto chunk = served_->take()) {
      input_ += chunk->bytes().size();
      served_->consumed(*chunk);
      if (chunk->last) has_input_ended_ = true;
    }
    while (const std::size_t room = std::min(left_, served_->room(StreamName::out))) {
      served_->send(StreamName::out, block_of(Bytes(room, 'r')), room);
      left_ -= room;
    }
    served_->flush();
    if (left_ == 0 && has_input_ended_) served_->answer({{"input", std::to_string(input_)}});
  }

  const Served served_;
  std::size_t left_;
  std::size_t input_ = 0;
  bool has_input_ended_ = false;
};

}  // namespace

TEST_CASE("an operation that ends without an answer has failed") {
  PeerPair pair(memory_pair(), Handlers{{"none", [](const Served&) {}}});
  CHECK(call(pair.master, "none").failure().message == "the operation ended without an answer");
}

TEST_CASE("an operation that waits for its end alone is not woken by its streams") {
  std::atomic<int> steps = 0;
  std::promise<void> cancelled;
  std::promise<void> failed;
  PeerPair pair(memory_pair(), Handlers{{"wait", [&](const Served& served) {
                                           served->run_on_cancel([&] {
                                             CHECK(served->cancelled());
                                             if (++steps == 1) cancelled.set_value();
                                           });
                                           while (const auto piece = served->read()) {
                                             if (!piece->empty()) served->write(StreamName::out, block_of("x"), 1);
                                           }
                                           cancelled.get_future().wait();
                                           served->fail({Errc::cancelled, "", 0});
                                           failed.set_value();
                                         }}});
  {
    rpc::Call call(pair.master, "wait", {}, CallKind::streaming, {});
    for (int i = 0; i < 3; ++i) {
      while (call.next(true) != CallEvent::room) continue;
      call.send(block_of("y"), 1);
      while (call.next() != CallEvent::chunk) continue;
      CHECK(steps == 0);
    }
  }
  CHECK(failed.get_future().wait_for(1min) == std::future_status::ready);
  CHECK(steps > 0);
}

TEST_CASE("a blocked operation does not stop the quick ones, those that came with it included") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    std::latch go(1);
    auto [theirs, ours] = transports();
    RawEnd raw(std::move(theirs));
    const auto peer = Peer::start(std::move(ours), loop,
                                  serving({{"block",
                                            [&](const Served& served) {
                                              go.wait();
                                              served->answer({});
                                            }},
                                           {"echo", echo}}));
    Bytes requests;
    for (int i = 1; i <= 10; ++i) requests += encode(request(i, i % 5 == 3 ? "block" : "echo"));
    raw.write(requests);
    for (int i = 0; i < 8; ++i) CHECK(raw.read().get("_answer").value_or("3") != "3");
    raw.write(request(11, "ping"));
    CHECK(raw.read().get("_answer") == "11");
    raw.write(request(12, "echo"));
    CHECK(raw.read().get("_answer") == "12");
    go.count_down();
    CHECK(raw.read().has("_answer"));
    CHECK(raw.read().has("_answer"));
    end(peer);
  });
}

TEST_CASE("more blocked operations than threads wait for their turn, and pings are answered meanwhile") {
  const OwnedLoop loop;
  std::latch go(1);
  std::atomic<int> inside{0};
  auto [theirs, ours] = socket_pair();
  RawEnd raw(std::move(theirs));
  Peer::Options options = serving({{"block", [&](const Served& served) {
                                      ++inside;
                                      go.wait();
                                      served->answer({});
                                    }}});
  options.threads = 3;
  options.long_operation = 1h;  // else one more begins where these have been blocked for a second
  const auto peer = Peer::start(std::move(ours), loop, options);
  for (int i = 1; i <= 10; ++i) raw.write(request(i, "block"));
  while (inside < 3) std::this_thread::yield();
  raw.write(request(11, "ping"));
  CHECK(raw.read().get("_answer") == "11");
  CHECK(inside == 3);
  go.count_down();
  for (int i = 0; i < 10; ++i) CHECK(raw.read().has("_answer"));
  CHECK(inside == 10);
  end(peer);
}

TEST_CASE("the answers to all calls of one read leave in one write") {
  const FakeClock clock;  // stands still: on a busy machine the tick may send an answer that a thread holds back
  const OwnedLoop loop(clock);
  auto [theirs, ours] = socket_pair();
  RawEnd raw(std::move(theirs));
  TransportCounts counts;
  const auto peer =
      Peer::start(std::make_unique<CountingTransport>(std::move(ours), counts), loop, serving({{"echo", echo}}));
  Bytes requests;
  for (int i = 1; i <= 20; ++i) requests += encode(request(i, "echo"));
  for (int round = 1; round <= 20; ++round) {
    raw.write(requests);
    for (int i = 1; i <= 20; ++i) REQUIRE(raw.read().get("_answer") == std::to_string(i));
    while (counts.writes < round) std::this_thread::yield();  // it is counted when it is over
    REQUIRE(counts.writes == round);
  }
  end(peer);
}

TEST_CASE("a ping-pong does without the io thread and, on the serving side, without the watch") {
  const OwnedLoop loop;
  auto [ours, theirs] = socket_pair();
  TransportCounts master;
  TransportCounts slave;
  PeerPair pair(loop,
                {std::make_unique<CountingTransport>(std::move(ours), master, loop.operator->()),
                 std::make_unique<CountingTransport>(std::move(theirs), slave, loop.operator->())},
                serving({{"echo", echo}}));
  const bool was_quiet = succeeds_once([&] {
    REQUIRE(call(pair.master, "echo").ok());
    const int reads = master.loop_reads + slave.loop_reads;
    const int master_arms = master.arms;
    const int slave_arms = slave.arms;
    for (int i = 0; i < 50; ++i) REQUIRE(call(pair.master, "echo").ok());
    // An answer that is there before its caller has come to read it still wakes the io thread: some do.
    return master.loop_reads + slave.loop_reads - reads <= 20 && slave.arms - slave_arms <= 4 &&
           master.arms - master_arms <= 2 * 50;
  });
  CHECK(was_quiet);
}

TEST_CASE("an answer after a long operation goes out, although its thread stays in the operation") {
  const OwnedLoop loop;
  auto [theirs, ours] = socket_pair();
  RawEnd raw(std::move(theirs));
  std::latch go(1);
  std::latch answered(1);
  const auto peer = Peer::start(std::move(ours), loop,
                                serving({{"slow",
                                          [&](const Served& served) {
                                            go.wait();
                                            served->answer({});
                                            answered.wait();
                                          }},
                                         {"echo", echo}}));
  raw.write(request(1, "slow"));
  // An echo is served by another thread, which the tick has brought: the tick of the first is over then or soon, and
  // with the third a quiet one may be. Nothing to wait for tells that; the assertions of Peer see the rest.
  const TimePoint until = std::chrono::steady_clock::now() + 50ms;
  for (int i = 2; std::chrono::steady_clock::now() < until; ++i) {
    raw.write(request(i, "echo"));
    CHECK(raw.read().get("_answer") == std::to_string(i));
  }
  std::promise<void> quiet;
  loop->at(std::chrono::steady_clock::now() + 50ms, [&] { quiet.set_value(); });
  quiet.get_future().wait();
  go.count_down();
  CHECK(raw.read().get("_answer") == "1");  // while it is still inside
  answered.count_down();
  end(peer);
}

TEST_CASE("a relay moves output and input without a thread, told when it can go on") {
  over_each_transport([](const auto& transports) {
    Relay::gone = 0;
    {
      constexpr std::size_t size = 1'000'000;
      PeerPair pair(transports(),
                    Handlers{{"relay", [&](const Served& served) { std::make_shared<Relay>(served, size)->start(); }}});
      std::vector<std::thread> threads;
      std::atomic<int> wrong{0};
      for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
          rpc::Call made(pair.master, "relay", {}, CallKind::streaming, {});
          std::size_t output = 0;
          std::size_t input = 0;
          bool feeds = true;
          for (;;) {
            const CallEvent event = made.next(feeds);
            if (event == CallEvent::chunk) {
              output += made.chunk().bytes().size();
            } else if (event == CallEvent::room) {
              const std::size_t piece = std::min<std::size_t>(made.room(), 300'000 - input);
              input += piece;
              if (piece == 0) {
                feeds = false;
                made.end_input();
              } else {
                made.send(block_of(Bytes(piece, 'i')), piece);
              }
            } else {
              if (event != CallEvent::answered || output != size || made.answer() != Box{{"input", "300000"}}) ++wrong;
              break;
            }
          }
        });
      }
      for (auto& thread : threads) thread.join();
      CHECK(wrong == 0);
    }
    CHECK(Relay::gone == 3);  // the answer lets go of who was to be told
  });
}

TEST_CASE("a relay of a caller who leaves, or of a connection that ends, is told and goes") {
  over_each_transport([](const auto& transports) {
    for (const bool ends : {false, true}) {
      Relay::gone = 0;
      std::promise<void> started;
      TransportCounts counts;
      auto [ours, theirs] = transports();
      const std::shared_ptr<Transport> line = std::move(theirs);
      PeerPair pair({std::move(ours), std::make_unique<CountingTransport>(line, counts)},
                    Handlers{{"echo", echo}, {"relay", [&](const Served& served) {
                                                std::make_shared<Relay>(served, 1'000'000)->start();
                                                started.set_value();
                                              }}});
      {
        rpc::Call made(pair.master, "relay", {}, CallKind::streaming, {});
        REQUIRE(made.next() == CallEvent::chunk);
        started.get_future().wait();
        if (ends) line->shutdown();
      }
      while (Relay::gone == 0) std::this_thread::yield();
    }
  });
}

TEST_CASE("data that a handler flushes has been written when flush() returns") {
  const FakeClock clock;  // stands still: a tick may be writing the data already
  const OwnedLoop loop(clock);
  auto [theirs, ours] = socket_pair();
  RawEnd raw(std::move(theirs));
  TransportCounts counts;
  std::vector<int> writes;
  const auto peer = Peer::start(std::make_unique<CountingTransport>(std::move(ours), counts), loop,
                                serving({{"give", [&](const Served& served) {
                                            for (int i = 0; i < 3; ++i) {
                                              served->send(StreamName::out, block_of("piece"), 5);
                                              served->flush();
                                              writes.push_back(counts.writes);
                                            }
                                            served->answer({});
                                          }}}));
  raw.write(request(1, "give", "o"));
  for (int i = 0; i < 3; ++i) CHECK(raw.read().get("data") == "piece");
  CHECK(raw.read().get("_answer") == "1");
  CHECK(writes == std::vector<int>{1, 2, 3});
  end(peer);
}

TEST_CASE("a relay that has little credit left is not told again and again") {
  const OwnedLoop loop;
  auto [theirs, ours] = socket_pair();
  RawEnd raw(std::move(theirs));
  std::shared_ptr<Relay> relay;
  const auto peer =
      Peer::start(std::move(ours), loop, serving({{"echo", echo}, {"relay", [&](const Served& served) {
                                                                     relay = std::make_shared<Relay>(served, 1'000'000);
                                                                     relay->start();
                                                                   }}}));
  raw.write(request(1, "relay", "o"));
  const std::size_t first = raw.read().get("data").value_or("").size();
  CHECK(first > 60'000);  // some hundred bytes of credit are left, too few for a box
  for (int i = 2; i < 20; ++i) {
    raw.write(request(i, "echo"));
    CHECK(raw.read().get("_answer") == std::to_string(i));
  }
  CHECK(relay->steps <= 3);
  raw.write(Box{{"_command", "credit"}, {"bytes", "30000"}, {"op", "o"}, {"stream", "out"}});
  CHECK(raw.read().get("data").value_or("").size() == 30'000 + rpc::stream_window - first);
  end(peer);
  relay.reset();
}

TEST_CASE("what was sent and not flushed goes out with the answer") {
  const OwnedLoop loop;
  auto [theirs, ours] = socket_pair();
  RawEnd raw(std::move(theirs));
  const auto peer = Peer::start(std::move(ours), loop, serving({{"x", [](const Served& served) {
                                                                   served->send(StreamName::out, block_of("hi"), 2);
                                                                   std::thread([served] { served->answer({}); }).join();
                                                                 }}}));
  raw.write(request(1, "x", "o"));
  CHECK(raw.read().get("data") == "hi");
  CHECK(raw.read().get("_answer") == "1");
  raw.write(request(2, "x", "o"));
  CHECK(raw.read().get("data") == "hi");
  CHECK(raw.read().get("_answer") == "2");
  end(peer);
}

TEST_CASE("one thread of an operation reads while another writes") {
  over_each_transport([](const auto& transports) {
    const auto duplex = [](const Served& served) {
      std::size_t input = 0;
      std::thread reader([&] {
        for (auto piece = served->read(); piece && !piece->empty(); piece = served->read()) input += piece->size();
      });
      for (int i = 0; i < 20; ++i) served->write(StreamName::out, block_of(Bytes(20'000, 'o')), 20'000);
      reader.join();
      served->answer({{"input", std::to_string(input)}});
    };
    PeerPair pair(transports(), Handlers{{"duplex", duplex}});
    rpc::Call made(pair.master, "duplex", {}, CallKind::streaming, {});
    std::size_t input = 0;
    std::size_t output = 0;
    bool feeds = true;
    for (;;) {
      const CallEvent event = made.next(feeds);
      if (event == CallEvent::chunk) {
        output += made.chunk().bytes().size();
      } else if (event == CallEvent::room && input < 400'000) {
        const std::size_t piece = made.room();
        made.send(block_of(Bytes(piece, 'i')), piece);
        input += piece;
      } else if (event == CallEvent::room) {
        made.end_input();
        feeds = false;
      } else {
        REQUIRE(event == CallEvent::answered);
        break;
      }
    }
    CHECK(output == 400'000);
    CHECK(made.answer() == Box{{"input", std::to_string(input)}});
  });
}

TEST_CASE("a service may outlive its connection and its peer's owner, and then does nothing") {
  over_each_transport([](const auto& transports) {
    Served kept;
    {
      std::promise<void> came;
      PeerPair pair(transports(), Handlers{{"keep", [&](const Served& served) {
                                              kept = served;
                                              came.set_value();
                                            }}});
      rpc::Call made(pair.master, "keep", {}, CallKind::streaming, {});
      came.get_future().wait();
      pair.slave->close("gone");
      CHECK(made.next() == CallEvent::failed);
    }
    CHECK(kept->cancelled());
    CHECK(kept->room(StreamName::out) == 0);
    CHECK_FALSE(kept->write(StreamName::out, block_of("x"), 1));
    CHECK_FALSE(kept->read().has_value());
    kept->answer({});
    kept->fail({});
    kept.reset();
  });
}
