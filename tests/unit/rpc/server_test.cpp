// Server: operations run side by side whatever they last, and nothing that waits holds up anybody else.
#include "rpc/peer.hpp"

#include "support/peer_pair.hpp"
#include "support/played_calls.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
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

/// An operation that takes a while; knows how many were under way at once.
class Lasting {
 public:
  explicit Lasting(Duration length) : length_(length) {}

  void operator()(const Served& served) {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++inside_);
    never_.wait_for(lock, length_, [] { return false; });  // this is its work
    --inside_;
    lock.unlock();
    served->answer({});
  }

  /// The most that were inside at the same moment since the last call of this.
  int most() {
    const std::lock_guard lock(mutex_);
    return std::exchange(most_, inside_);
  }

 private:
  const Duration length_;
  std::mutex mutex_;
  std::condition_variable never_;
  int inside_ = 0;
  int most_ = 0;
};

/// One end that serves, and the bare other end.
struct Bare {
  explicit Bare(Peer::Options options) {
    auto [theirs, ours] = socket_pair();
    raw = std::make_unique<RawEnd>(std::move(theirs));
    peer = Peer::start(std::move(ours), loop, std::move(options));
  }
  ~Bare() { end(peer); }

  /// The tags of the next answers.
  std::set<std::string> answers(int count) {
    std::set<std::string> tags;
    while (count-- > 0) tags.emplace(raw->read().get("_answer").value_or("none"));
    return tags;
  }

  const OwnedLoop loop;
  std::unique_ptr<RawEnd> raw;
  std::shared_ptr<Peer> peer;
};

/// Sends without end as there is room, in steps; knows the threads that ran them.
class Spring : public std::enable_shared_from_this<Spring> {
 public:
  explicit Spring(Served served) : served_(std::move(served)) {}

  void start() {
    served_->run_on_change([self = shared_from_this()] { self->step(); });
  }

 private:
  void step() {
    if (served_->cancelled()) return served_->fail({Errc::cancelled, "", 0});
    while (const std::size_t room = served_->room(StreamName::out)) {
      served_->send(StreamName::out, block_of("x"), room);
    }
    served_->flush();
  }

  const Served served_;
};

}  // namespace

TEST_CASE("operations overlap, whatever they last and however many there are") {
  for (const Duration length : {Duration(1ms), Duration(5ms), Duration(9ms), Duration(20ms), Duration(100ms)}) {
    for (const int callers : {1, 16, 64}) {
      CAPTURE(length.count());
      CAPTURE(callers);
      Lasting lasting(length);
      Bare bare(serving({{"last", [&](const Served& served) { lasting(served); }}}));
      Bytes requests;
      for (int i = 1; i <= callers; ++i) requests += encode(request(i, "last"));
      // The short ones are found out while the first of them are over already; and a machine under load may be late.
      const int wanted = length < 20ms ? std::min(callers, 4) : callers;
      int most = 0;
      const bool overlapped = succeeds_once([&] {
        bare.raw->write(requests);
        REQUIRE(bare.answers(callers).size() == static_cast<std::size_t>(callers));
        most = std::max(most, lasting.most());
        return most >= wanted;
      });
      CHECK(overlapped);
    }
  }
}

TEST_CASE("a slow operation after many quick ones holds up the others for 20 ms at most, for 8 if they came with it") {
  struct Case {
    const char* way;
    bool together;
    std::vector<Duration> ticks;
  };
  const Case cases[] = {{"alone", false, {16ms, 4ms}}, {"with a call behind it", true, {4ms, 4ms}}};
  for (const Case& one : cases) {
    CAPTURE(one.way);
    StoppedLoop loop;
    auto [theirs, ours] = socket_pair();
    RawEnd raw(std::move(theirs));
    std::binary_semaphore begun(0);
    std::binary_semaphore go(0);
    const auto peer = Peer::start(
        std::move(ours), loop,
        serving({{"quick", [](const Served& served) { served->answer({}); }}, {"slow", [&](const Served& served) {
                                                                                 begun.release();
                                                                                 go.acquire();
                                                                                 served->answer({});
                                                                               }}}));
    int tag = 0;
    const auto quick = [&] { return encode(request(++tag, "quick")); };
    for (int i = 0; i < 40; ++i) {
      raw.write(quick());
      REQUIRE(raw.read().get("_answer") == std::to_string(tag));
      loop.advance(16ms);
    }
    const Bytes slow = encode(request(1000, "slow"));
    raw.write(one.together ? slow + quick() : slow);
    begun.acquire();
    if (!one.together) raw.write(quick());
    for (const Duration tick : one.ticks) loop.advance(tick);
    CHECK(raw.read().get("_answer") == std::to_string(tag));
    go.release();
    CHECK(raw.read().get("_answer") == "1000");
    loop.end(peer);
  }
}

TEST_CASE("operations that take no time are answered by as few threads as they need") {
  for (const int callers : {1, 4, 16}) {  // with a sanitizer 64 take longer than a tick, which is slow
    std::mutex mutex;
    std::set<std::thread::id> threads;
    Bare bare(serving({{"now", [&](const Served& served) {
                          const std::lock_guard lock(mutex);
                          threads.insert(std::this_thread::get_id());
                          served->answer({});
                        }}}));
    Bytes requests;
    for (int i = 1; i <= callers; ++i) requests += encode(request(i, "now"));
    // A thread that is kept from running looks like one that is slow: then there are more.
    const bool was_one = succeeds_once([&] {
      {
        const std::lock_guard lock(mutex);
        threads.clear();
      }
      bare.raw->write(requests);
      REQUIRE(bare.answers(callers).size() == static_cast<std::size_t>(callers));
      const std::lock_guard lock(mutex);
      return threads.size() == 1;
    });
    CHECK(was_one);
  }
}

TEST_CASE("an answer leaves when it is there, beside operations that go on") {
  std::latch go(1);
  Bare bare(serving({{"block",
                      [&](const Served& served) {
                        go.wait();
                        served->answer({});
                      }},
                     {"echo", echo}}));
  // In one read, and in both orders: before the long one in the same batch, and after it.
  bare.raw->write(encode(request(1, "echo")) + encode(request(2, "block")) + encode(request(3, "echo")));
  CHECK(bare.answers(2) == std::set<std::string>{"1", "3"});
  for (int i = 4; i < 40; ++i) {
    bare.raw->write(request(i, i % 3 == 0 ? "block" : "echo"));
    if (i % 3 != 0) CHECK(bare.answers(1) == std::set<std::string>{std::to_string(i)});
  }
  go.count_down();
  CHECK(bare.answers(13).size() == 13);
}

TEST_CASE("a cancel and credit reach their operations while others run") {
  std::latch go(1);
  std::promise<void> cancelled;
  Bare bare(serving({{"block",
                      [&](const Served& served) {
                        go.wait();
                        served->answer({});
                      }},
                     {"wait",
                      [&](const Served& served) {
                        served->on_change([&, served] {
                          if (!served->cancelled()) return;
                          served->fail({Errc::cancelled, "as you wish", 0});
                          cancelled.set_value();
                        });
                      }},
                     {"spring", [](const Served& served) { std::make_shared<Spring>(served)->start(); }}}));
  bare.raw->write(request(1, "block", "a"));
  bare.raw->write(request(2, "wait", "b"));
  bare.raw->write(request(3, "spring", "c"));
  bare.raw->write(Box{{"_command", "cancel"}, {"op", "b"}});
  cancelled.get_future().wait();
  // Reads what the spring sends, at least this much in all. It sends whole blocks, so not quite all that it may.
  std::size_t bytes = 0;
  const auto read_until = [&](std::size_t enough) {
    while (bytes < enough) bytes += bare.raw->read().get("data").value_or("").size();  // "wait" answers as well
  };
  read_until(rpc::stream_window - 20'000);
  bare.raw->write(Box{{"_command", "credit"}, {"bytes", "50000"}, {"op", "c"}, {"stream", "out"}});
  read_until(rpc::stream_window + 30'000);
  bare.raw->write(Box{{"_command", "cancel"}, {"op", "c"}});
  Box last = bare.raw->read();
  while (last.get("data")) last = bare.raw->read();
  CHECK(last.get("_error") == "3");
  go.count_down();
  CHECK(bare.answers(1) == std::set<std::string>{"1"});
}

TEST_CASE("operations that wait for the credit of their callers hold no thread") {
  Peer::Options options =
      serving({{"echo", echo}, {"spring", [](const Served& served) { std::make_shared<Spring>(served)->start(); }}});
  options.threads = 2;
  Bare bare(std::move(options));
  constexpr int springs = 10;
  for (int i = 1; i <= springs; ++i) bare.raw->write(request(i, "spring", std::to_string(i)));
  bare.raw->write(request(99, "echo"));
  bool is_answered = false;
  std::set<std::string> seen;
  while (!is_answered || seen.size() < springs) {
    const Box box = bare.raw->read();
    if (box.get("_answer") == "99") is_answered = true;
    if (const auto op = box.get("op")) seen.emplace(*op);
  }
  // They go on, each for itself.
  bare.raw->write(Box{{"_command", "cancel"}, {"op", "7"}});
  while (bare.raw->read().get("_error") != "7") {
  }
  bare.raw->write(request(100, "echo"));
  while (bare.raw->read().get("_answer") != "100") {
  }
}

TEST_CASE("an operation in steps that nobody reads for sees the end of its connection") {
  std::promise<void> begun;
  std::promise<void> failed;
  {
    Bare bare(serving({{"wait", [&](const Served& served) {
                          begun.set_value();  // before that, the end would drop it
                          served->run_on_change([&, served, once = std::make_shared<bool>(false)] {
                            if (!served->cancelled() || std::exchange(*once, true)) return;
                            served->fail({Errc::cancelled, "", 0});
                            failed.set_value();
                          });
                        }}}));
    bare.raw->write(request(1, "wait", "a"));
    begun.get_future().wait();
    bare.raw.reset();
    bare.peer->wait_until_left();
  }
  failed.get_future().wait();
}

TEST_CASE("operations that are stuck are not counted any more when others wait, up to the most threads there may be") {
  std::latch go(1);
  std::atomic<int> inside{0};
  Peer::Options options = serving({{"block", [&](const Served& served) {
                                      ++inside;
                                      go.wait();
                                      served->answer({});
                                    }}});
  options.threads = 2;
  options.max_threads = 5;
  options.long_operation = 1ms;
  Bare bare(std::move(options));
  for (int i = 1; i <= 9; ++i) bare.raw->write(request(i, "block"));
  while (inside < 5) std::this_thread::yield();
  bare.raw->write(request(10, "ping"));
  CHECK(bare.answers(1) == std::set<std::string>{"10"});
  CHECK(inside == 5);
  go.count_down();
  CHECK(bare.answers(9).size() == 9);
}

TEST_CASE("who waits for a peer may leave operations that are stuck behind, and gets their threads") {
  std::latch go(1);
  std::promise<void> inside;
  std::vector<rpc::StuckThread> stuck;
  {
    Bare bare(serving({{"block",
                        [&](const Served& served) {
                          inside.set_value();
                          go.wait();
                          served->answer({});
                        }},
                       {"echo", echo}}));
    bare.raw->write(request(1, "block"));
    inside.get_future().wait();
    bare.raw->write(request(2, "echo"));
    CHECK(bare.answers(1) == std::set<std::string>{"2"});
    bare.peer->close("enough");
    stuck = bare.peer->wait_until_left(std::chrono::steady_clock::now() + 10ms);
    // A thread that runs nothing, but has not returned in time either, is among them on a busy machine.
    const auto idle = std::stable_partition(stuck.begin(), stuck.end(),
                                            [](const rpc::StuckThread& one) { return !one.command.empty(); });
    std::for_each(idle, stuck.end(), [](rpc::StuckThread& one) { one.thread.join(); });
    stuck.erase(idle, stuck.end());
    REQUIRE(stuck.size() == 1);
    CHECK(stuck[0].command == "block");
    CHECK_FALSE(*stuck[0].has_returned);
    bare.peer.reset();
  }
  go.count_down();
  stuck[0].thread.join();
  CHECK(*stuck[0].has_returned);
}
