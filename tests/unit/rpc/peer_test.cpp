// Peer and Call: who waits gets what is its own, whatever the others do; and the end reaches everybody.
#include "rpc/peer.hpp"

#include "support/fake_clock.hpp"
#include "support/peer_pair.hpp"

#include <doctest/doctest.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <future>
#include <latch>
#include <limits>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;
using rpc::Peer;
using rpc::StreamName;
using std::chrono::steady_clock;
using CallEvent = rpc::Call::Event;
using CallKind = rpc::Call::Kind;

namespace {

/// Writes "0 1 2 ... " of so many numbers to `out`.
void count(const Served& served) {
  const int numbers = std::stoi(Bytes(*served->arguments().get("numbers")));
  Bytes text;
  for (int i = 0; i < numbers; ++i) {
    text += std::to_string(i) + ' ';
    if (text.size() < 30'000 && i + 1 < numbers) continue;
    if (!served->write(StreamName::out, block_of(text), text.size())) return;
    text.clear();
  }
  served->answer({});
}

Bytes numbers_text(int numbers) {
  Bytes text;
  for (int i = 0; i < numbers; ++i) text += std::to_string(i) + ' ';
  return text;
}

Patience until(Duration from_now) {
  Patience options;
  options.deadline = Deadline(from_now);
  return options;
}

void wait_for_end(const std::shared_ptr<Peer>& peer) { peer->wait_until_left(); }

}  // namespace

TEST_CASE("calls one after the other are answered with what they asked for") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"echo", echo}});
    for (int i = 0; i < 300; ++i) {
      const Box asked{{"n", std::to_string(i)}};
      const auto answer = call(pair.master, "echo", asked);
      REQUIRE(answer);
      REQUIRE(*answer == asked);
    }
    const auto unknown = call(pair.master, "fly");
    REQUIRE_FALSE(unknown);
    CHECK(unknown.failure().code == Errc::unsupported);
  });
}

TEST_CASE("a call of the largest size arrives") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"echo", echo}});
    const Box asked{{"v", Bytes(1'000'000, 'v')}};
    const auto answer = call(pair.master, "echo", asked);
    REQUIRE(answer);
    CHECK(*answer == asked);
    const auto refused = call(pair.master, "echo", {{"v", Bytes(2'000'000, 'v')}});
    REQUIRE_FALSE(refused);
    CHECK(refused.failure().code == Errc::too_large);
    CHECK(call(pair.master, "echo").ok());
  });
}

TEST_CASE("many threads call at once, and each gets its own answers") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"echo", echo}});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const Box asked{{"i", std::to_string(i)}, {"t", std::to_string(t)}};
          const auto answer = call(pair.master, "echo", asked);
          if (!answer || *answer != asked) ++wrong;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
  });
}

TEST_CASE("answers come in any order, from any thread") {
  over_each_transport([](const auto& transports) {
    std::mutex mutex;
    std::vector<Served> kept;
    const auto keep = [&](const Served& served) {
      const std::lock_guard lock(mutex);
      kept.push_back(served);
      if (kept.size() < 8) return;
      while (!kept.empty()) {  // the last that came is answered first
        kept.back()->answer(kept.back()->arguments());
        kept.pop_back();
      }
    };
    PeerPair pair(transports(), Handlers{{"keep", keep}});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        const Box asked{{"t", std::to_string(t)}};
        const auto answer = call(pair.master, "keep", asked);
        if (!answer || *answer != asked) ++wrong;
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
  });
}

TEST_CASE("output arrives whole, in order and before the answer") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"count", count}});
    constexpr int numbers = 200'000;
    rpc::Call made(pair.master, "count", {{"numbers", std::to_string(numbers)}}, CallKind::streaming, {});
    Bytes text;
    CallEvent event = made.next();
    for (; event == CallEvent::chunk; event = made.next()) text += made.chunk().bytes();
    CHECK(event == CallEvent::answered);
    CHECK(text == numbers_text(numbers));
  });
}

TEST_CASE("both streams of many operations flow at once, and a total travels with the first piece") {
  over_each_transport([](const auto& transports) {
    constexpr std::size_t size = 600'000;
    const auto both = [](const Served& served) {
      served->announce_total(size);
      for (std::size_t sent = 0; sent < size; sent += 20'000) {
        if (!served->write(StreamName::out, block_of(Bytes(20'000, 'o')), 20'000)) return;
        if (!served->write(StreamName::err, block_of(Bytes(20'000, 'e')), 20'000)) return;
      }
      served->answer({});
    };
    PeerPair pair(transports(), Handlers{{"both", both}});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        rpc::Call made(pair.master, "both", {}, CallKind::streaming, {});
        Bytes out;
        Bytes err;
        int totals = 0;
        CallEvent event = made.next();
        for (; event == CallEvent::chunk; event = made.next()) {
          (made.chunk().stream == StreamName::err ? err : out) += made.chunk().bytes();
          if (made.chunk().total == size) ++totals;
        }
        if (event != CallEvent::answered || out != Bytes(size, 'o') || err != Bytes(size, 'e') || totals != 1) ++wrong;
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
  });
}

TEST_CASE("input goes as it is wanted, with its end, while output comes back") {
  over_each_transport([](const auto& transports) {
    const auto cat = [](const Served& served) {
      std::uint64_t bytes = 0;
      for (;;) {
        const auto piece = served->read();
        if (!piece) return;
        if (piece->empty()) break;
        bytes += piece->size();
        if (!served->write(StreamName::out, block_of(piece->substr(0, Block::max_payload)), piece->size())) return;
      }
      if (served->read() != std::string_view()) return;  // the end stays
      served->answer({{"bytes", std::to_string(bytes)}});
    };
    PeerPair pair(transports(), Handlers{{"cat", cat}});
    constexpr std::size_t size = 1'500'000;
    Bytes input;
    while (input.size() < size) input += std::to_string(input.size()) + ' ';
    BytesView rest = input;
    Bytes output;
    rpc::Call made(pair.master, "cat", {}, CallKind::streaming, {});
    bool feeds = true;
    for (;;) {
      const CallEvent event = made.next(feeds);
      if (event == CallEvent::chunk) {
        output += made.chunk().bytes();
      } else if (event == CallEvent::room) {
        REQUIRE(made.room() > 0);
        const BytesView piece = rest.substr(0, made.room());
        rest.remove_prefix(piece.size());
        if (piece.empty()) {
          feeds = false;
          made.end_input();
        } else {
          made.send(block_of(piece), piece.size());
        }
      } else {
        REQUIRE(event == CallEvent::answered);
        break;
      }
    }
    CHECK(made.answer() == Box{{"bytes", std::to_string(input.size())}});
    CHECK((output == input));
  });
}

// --- patience

TEST_CASE("a deadline ends the wait of who leads, not before its time, and the operation is told") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"echo", echo}, {"hang", [&](const Served& served) { hanging(served); }}});
    for (const Duration patience : {Duration(3ms), Duration(25ms)}) {
      const TimePoint start = steady_clock::now();
      const auto outcome = call(pair.master, "hang", {}, until(patience), CallKind::streaming);
      REQUIRE_FALSE(outcome);
      CHECK(outcome.failure().code == Errc::timeout);
      CHECK(steady_clock::now() >= start + patience);
      hanging.wait_for(0);  // cancelled
      CHECK(call(pair.master, "echo").ok());
    }
  });
}

TEST_CASE("a deadline ends the wait of a follower") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"hang", [&](const Served& served) { hanging(served); }}});
    std::vector<std::thread> others;
    std::stop_source stop;
    Patience options;
    options.stop = stop.get_token();
    for (int i = 0; i < 3; ++i) {
      others.emplace_back([&] { call(pair.master, "hang", {}, options, CallKind::streaming).ok() ? void() : void(); });
    }
    hanging.wait_for(3);
    const auto outcome = call(pair.master, "hang", {}, until(15ms), CallKind::streaming);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.failure().code == Errc::timeout);
    hanging.wait_for(3);
    stop.request_stop();
    for (auto& other : others) other.join();
    hanging.wait_for(0);
  });
}

TEST_CASE("a deadline that has passed fails the call at once, and costs nobody else") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;  // an answer that is there already would be given, whatever the deadline
    PeerPair pair(transports(), Handlers{{"echo", echo}, {"hang", [&](const Served& served) { hanging(served); }}});
    Patience options;
    options.deadline = no_wait;
    const auto outcome = call(pair.master, "hang", {}, options);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.failure().code == Errc::timeout);
    CHECK(call(pair.master, "echo").ok());
  });
}

TEST_CASE("a stop ends the wait, from another thread, before the call, and between two events of it") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"count", count}, {"hang", [&](const Served& served) { hanging(served); }}});
    {
      std::stop_source stop;
      std::thread other([&] {
        hanging.wait_for(1);
        stop.request_stop();
      });
      Patience options;
      options.stop = stop.get_token();
      const auto outcome = call(pair.master, "hang", {}, options, CallKind::streaming);
      other.join();
      REQUIRE_FALSE(outcome);
      CHECK(outcome.failure().code == Errc::cancelled);
      hanging.wait_for(0);
    }
    std::stop_source stop;
    stop.request_stop();
    Patience options;
    options.stop = stop.get_token();
    CHECK(call(pair.master, "hang", {}, options, CallKind::streaming).failure().code == Errc::cancelled);

    std::stop_source between;
    options.stop = between.get_token();
    rpc::Call made(pair.master, "count", {{"numbers", "100000"}}, CallKind::streaming, options);
    REQUIRE(made.next() == CallEvent::chunk);
    between.request_stop();
    REQUIRE(made.next() == CallEvent::failed);
    CHECK(made.failure().code == Errc::cancelled);
    CHECK(made.next() == CallEvent::failed);  // and stays so
  });
}

// --- callers do as they like

TEST_CASE("a call made between two events of another just works, however deep") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"count", count}, {"echo", echo}});
    rpc::Call outer(pair.master, "count", {{"numbers", "60000"}}, CallKind::streaming, {});
    Bytes text;
    int inner_chunks = 0;
    CallEvent event = outer.next();
    for (; event == CallEvent::chunk; event = outer.next()) {
      const Bytes before(outer.chunk().bytes());
      rpc::Call inner(pair.master, "count", {{"numbers", "20000"}}, CallKind::streaming, {});
      Bytes inner_text;
      while (inner.next() == CallEvent::chunk) {
        ++inner_chunks;
        inner_text += inner.chunk().bytes();
        REQUIRE(call(pair.master, "echo").ok());
      }
      REQUIRE((inner_text == numbers_text(20'000)));
      REQUIRE((outer.chunk().bytes() == before));  // what it lent is still there
      text += outer.chunk().bytes();
    }
    CHECK(event == CallEvent::answered);
    CHECK((text == numbers_text(60'000)));
    CHECK(inner_chunks > 0);
  });
}

TEST_CASE("calls destroyed in the middle of their output are settled quietly, more often than may be left at once") {
  PeerPair pair(socket_pair(), Handlers{{"count", count}, {"echo", echo}});
  for (int i = 0; i < 1100; ++i) {
    rpc::Call made(pair.master, "count", {{"numbers", "20000"}}, CallKind::streaming, {});
    if (i % 2 == 0) REQUIRE(made.next() == CallEvent::chunk);
    // Calls left are not over before the other side has answered: this one begins when they have begun.
    if (i % 100 == 0) REQUIRE(call(pair.master, "echo").ok());
  }
  CHECK(call(pair.master, "echo").ok());
}

TEST_CASE("a consumer that does not read holds back its own operation within its credit, and nothing else") {
  over_each_transport([](const auto& transports) {
    std::atomic<std::size_t> written{0};
    const auto flood = [&](const Served& served) {
      while (served->write(StreamName::out, block_of(Bytes(10'000, 'x')), 10'000)) written += 10'000;
      served->fail({Errc::cancelled, "", 0});
    };
    PeerPair pair(transports(), Handlers{{"count", count}, {"echo", echo}, {"flood", flood}});
    {
      rpc::Call slow(pair.master, "flood", {}, CallKind::streaming, {});
      REQUIRE(slow.next() == CallEvent::chunk);
      for (int i = 0; i < 50; ++i) REQUIRE(call(pair.master, "echo").ok());
      rpc::Call other(pair.master, "count", {{"numbers", "200000"}}, CallKind::streaming, {});
      CallEvent event = other.next();
      while (event == CallEvent::chunk) event = other.next();
      CHECK(event == CallEvent::answered);
      // Its first window and half of another are all that it may have sent for one piece that was used up.
      CHECK(written <= rpc::stream_window + 20'000);
    }
    CHECK(call(pair.master, "echo").ok());
  });
}

// --- the end

TEST_CASE("close() wakes every caller with its reason, and the other side hears it") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"hang", [&](const Served& served) { hanging(served); }}});
    std::mutex mutex;
    std::vector<Failure> failures;
    std::vector<std::thread> threads;
    for (int t = 0; t < 5; ++t) {
      threads.emplace_back([&] {
        auto outcome = call(pair.master, "hang", {}, {}, CallKind::streaming);
        const std::lock_guard lock(mutex);
        if (!outcome) failures.push_back(outcome.failure());
      });
    }
    hanging.wait_for(5);
    pair.master->close("enough for today", 1234);
    for (auto& thread : threads) thread.join();
    REQUIRE(failures.size() == 5);
    for (const Failure& failure : failures) {
      CHECK(failure.code == Errc::connection_lost);
      CHECK(failure.message == "enough for today");
    }
    wait_for_end(pair.master);
    hanging.wait_for(0);  // what ran for it was cancelled
    wait_for_end(pair.slave);
    REQUIRE(pair.slave->said_goodbye());
    CHECK(pair.slave->said_goodbye()->reason == "enough for today");
    CHECK(pair.slave->said_goodbye()->retry == 1234);
    CHECK(pair.slave->ended()->message == "goodbye: enough for today");

    const auto late = call(pair.master, "hang");
    REQUIRE_FALSE(late);
    CHECK(late.failure().message == "enough for today");
  });
}

TEST_CASE("a slave that announces its end is told of once, on the loop, and its calls go on") {
  over_each_transport([](const auto& transports) {
    std::promise<bool> told;
    std::atomic<int> times{0};
    Peer::Options options;
    options.on_draining = [&](Peer& peer) {
      if (++times == 1) told.set_value(peer.loop().is_this_thread());
    };
    PeerPair pair(transports(), serving({{"echo", echo}}), std::move(options));
    CHECK_FALSE(pair.master->is_draining());
    pair.slave->drain("SIGTERM", 5s);
    pair.slave->drain("again", 1s);
    CHECK(told.get_future().get());
    REQUIRE(pair.master->draining());
    CHECK(pair.master->draining()->reason == "SIGTERM");
    CHECK(pair.master->draining()->within == 5s);
    CHECK(call(pair.master, "echo"));
    CHECK_FALSE(pair.master->closed());
    CHECK_FALSE(pair.slave->is_draining());
    CHECK(times == 1);
  });
}

TEST_CASE("a connection that is cut ends without a word, on both sides") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    TransportCounts counts;
    auto [ours, theirs] = transports();
    const std::shared_ptr<Transport> line = std::move(theirs);
    PeerPair pair({std::move(ours), std::make_unique<CountingTransport>(line, counts)},
                  Handlers{{"hang", [&](const Served& served) { hanging(served); }}});
    auto caller =
        std::async(std::launch::async, [&] { return call(pair.master, "hang", {}, {}, CallKind::streaming); });
    hanging.wait_for(1);
    line->shutdown();
    const auto outcome = caller.get();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.failure().code == Errc::connection_lost);
    wait_for_end(pair.master);
    CHECK_FALSE(pair.master->said_goodbye());
    wait_for_end(pair.slave);
    CHECK_FALSE(pair.slave->said_goodbye());
  });
}

TEST_CASE("the end is told once, on the loop") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    std::promise<bool> on_loop;
    std::atomic<int> told{0};
    Peer::Options options;
    options.on_end = [&](Peer&) {
      if (++told == 1) on_loop.set_value(loop->is_this_thread());
    };
    PeerPair pair(loop, transports(), serving({}), options);
    pair.slave->close("bye");
    CHECK(on_loop.get_future().get());
    pair.master->close("too late");
    wait_for_end(pair.master);
    CHECK(pair.master->ended()->message == "goodbye: bye");
    end(pair.slave);
    pair.slave.reset();
    pair.master.reset();
    loop->stop();  // what was posted has run, or never will
    CHECK(told == 1);
  });
}

TEST_CASE("a stream that ends between two boxes and one that ends inside a box are told apart") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    for (const bool is_cut : {false, true}) {
      auto [ours, theirs] = transports();
      const auto peer = Peer::start(std::move(ours), loop, {});
      if (is_cut) RawEnd(std::move(theirs)).write(BytesView("\0\7_answer", 9));
      theirs.reset();
      peer->wait_until_left();
      REQUIRE(peer->ended());
      CHECK(peer->ended()->code == Errc::connection_lost);
      CHECK((peer->ended()->message.find("in the middle of a message") != std::string::npos) == is_cut);
    }
  });
}

TEST_CASE("bytes that are no boxes, and boxes that break the protocol, end the connection and fail its calls") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    for (const Bytes& bad : {Bytes("GET / HTTP/1.1\r\n\r\n"), encode(Box{{"_answer", "77"}}), Bytes(2, '\0')}) {
      auto [ours, theirs] = transports();
      const auto peer = Peer::start(std::move(ours), loop, {});
      RawEnd raw(std::move(theirs));
      std::thread other([&] {
        raw.read();
        raw.write(bad);
      });
      const auto outcome = call(peer, "stat");
      other.join();
      REQUIRE_FALSE(outcome);
      CHECK(outcome.failure().code == Errc::protocol_error);
      peer->wait_until_left();
    }
  });
}

TEST_CASE("bytes that came behind the handshake are taken in first, whole boxes and the beginning of one") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    auto [theirs, ours] = transports();
    RawEnd raw(std::move(theirs));
    const Bytes first = encode(Box{{"_ask", "1"}, {"_command", "echo"}, {"n", "1"}});
    const Bytes second = encode(Box{{"_ask", "2"}, {"_command", "echo"}, {"n", "2"}});
    const auto peer =
        Peer::start(std::move(ours), loop, serving({{"echo", echo}}), first + second.substr(0, second.size() - 3));
    CHECK(raw.read() == Box{{"_answer", "1"}, {"n", "1"}});
    raw.write(BytesView(second).substr(second.size() - 3));
    CHECK(raw.read() == Box{{"_answer", "2"}, {"n", "2"}});
    end(peer);
  });
}

TEST_CASE("wait_until_left() waits for calls that still live") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"count", count}});
    std::latch inside(1);
    std::atomic<bool> is_left{false};
    std::thread caller([&] {
      rpc::Call made(pair.master, "count", {{"numbers", "100000"}}, CallKind::streaming, {});
      made.next();
      inside.count_down();
      wait_for_end(pair.slave);  // the connection is gone, and the call still there
      while (made.next() == CallEvent::chunk) {
      }
      is_left = true;
    });
    inside.wait();
    pair.master->close("");
    pair.master->wait_until_left();
    CHECK(is_left);
    caller.join();
  });
}

TEST_CASE("goodbye goes out behind a write that is under way, and cuts nothing") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    auto [ours, theirs] = transports();
    std::latch writing(1);
    std::latch closed(1);
    std::atomic<bool> is_first{true};
    TransportCounts counts;
    const auto hook = [&] {
      if (!is_first.exchange(false)) return;
      writing.count_down();
      closed.wait();
    };
    const auto peer =
        Peer::start(std::make_unique<CountingTransport>(std::move(ours), counts, nullptr, hook), loop, {});
    std::thread caller([&] { CHECK_FALSE(call(peer, "stat").ok()); });
    writing.wait();
    peer->close("leaving");
    closed.count_down();
    RawEnd raw(std::move(theirs));
    CHECK(raw.read() == Box{{"_ask", "1"}, {"_command", "stat"}});
    CHECK(raw.read() == Box{{"_command", "goodbye"}, {"reason", "leaving"}});
    CHECK(raw.read() == Box{});
    caller.join();
    peer->wait_until_left();
  });
}

TEST_CASE("a peer that was closed before it had its connection says goodbye on it, and reads what was read already") {
  for (const std::string& already_read : {std::string(), encode({{"_command", "goodbye"}, {"reason", "me too"}})}) {
    const OwnedLoop loop;
    auto [ours, theirs] = socket_pair();
    const auto peer = std::make_shared<Peer>(std::make_shared<rpc::PeerGroup>(loop, Peer::Options()));
    peer->close("no longer wanted");
    peer->open(std::move(ours), already_read);
    RawEnd raw(std::move(theirs));
    CHECK(raw.read() == Box{{"_command", "goodbye"}, {"reason", "no longer wanted"}});
    CHECK(raw.read() == Box{});
    peer->wait_until_left();
    CHECK(peer->ended()->message == "no longer wanted");
  }
}

TEST_CASE("a goodbye is told even where a write has failed before it was read") {
  const OwnedLoop loop;
  auto [ours, theirs] = socket_pair();
  TransportCounts counts;
  std::optional<RawEnd> raw(std::move(theirs));
  const auto hook = [&] {
    if (!raw) return;
    raw->write(Box{{"_command", "goodbye"}, {"reason", "moving house"}});
    raw.reset();
  };
  const auto peer = Peer::start(std::make_unique<CountingTransport>(std::move(ours), counts, nullptr, hook), loop, {});
  const auto outcome = call(peer, "stat");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().message == "goodbye: moving house");
  peer->wait_until_left();
}

// --- liveness

TEST_CASE("what TLS says of a broken stream is why the connection ended") {
  auto [ours, theirs] = memory_pair();
  class Forger final : public ForwardingTransport {  // changes what is written once it is told to
   public:
    using ForwardingTransport::ForwardingTransport;
    IoResult write_some(std::span<const std::string_view> buffers) override {
      if (!forges || buffers.empty()) return inner().write_some(buffers);
      std::string forged(buffers.front());
      forged.back() = static_cast<char>(forged.back() ^ 1);
      const std::string_view one = forged;
      return inner().write_some({&one, 1});
    }
    [[nodiscard]] std::string description() const override { return "forged"; }

    std::atomic<bool> forges = false;
  };
  auto forger = std::make_unique<Forger>(std::move(theirs));
  Forger& forging = *forger;
  PeerPair pair(with_tls({std::move(ours), std::move(forger)}), Handlers{{"echo", echo}});
  CHECK(call(pair.master, "echo").ok());
  forging.forges = true;
  const auto outcome = call(pair.master, "echo");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().code == Errc::connection_lost);
  CHECK(outcome.failure().message.find("TLS failed (") != std::string::npos);
}

namespace {

/// Has a peer wait for a silent other side, for `time` before it asks whether that is there, and as long afterwards.
/// Returns the commands that the other side got.
std::vector<Bytes> commands_to_silent(TransportPair transports, bool serves, bool waits, Duration time) {
  const OwnedLoop loop;
  Peer::Options options = serves ? serving({}) : Peer::Options();
  options.session.keepalive = time;
  options.session.patience = time;
  const TimePoint start = steady_clock::now();
  const auto peer = Peer::start(std::move(transports.first), loop, options);
  if (waits) {
    const auto outcome = call(peer, "stat");
    REQUIRE_FALSE(outcome);
    CHECK(outcome.failure().code == Errc::connection_lost);
    CHECK(outcome.failure().message.starts_with("given up: nothing came from the other side for "));
  }
  peer->wait_until_left();
  CHECK(peer->ended()->message.starts_with("given up: nothing came from the other side for "));
  CHECK(steady_clock::now() >= start + 2 * time);
  RawEnd raw(std::move(transports.second));
  std::vector<Bytes> commands;
  for (Box box = raw.read(); !box.empty(); box = raw.read()) commands.emplace_back(box.get("_command").value_or(""));
  return commands;
}

}  // namespace

TEST_CASE("a silent other side is given up, while somebody waits and while nobody does") {
  over_each_transport([](const auto& transports) {
    for (const bool serves : {false, true}) {
      for (const bool waits : {false, true}) {
        const std::vector<Bytes> expected = waits ? std::vector<Bytes>{"stat", "ping"} : std::vector<Bytes>{"ping"};
        std::vector<Bytes> commands;
        // A caller or a loop that stands still for longer than this comes too late to call or to ask.
        for (const Duration time : {Duration(50ms), Duration(1s), Duration(10s)}) {
          commands = commands_to_silent(transports(), serves, waits, time);
          if (commands == expected) break;
        }
        CHECK(commands == expected);
      }
    }
  });
}

TEST_CASE("pings keep a connection that nobody uses, also while a caller waits long, and while a server is stuck") {
  over_each_transport([](const auto& transports) {
    const OwnedLoop loop;
    Hanging hanging;
    auto [ours, theirs] = transports();
    TransportCounts counts;
    // Patient, as the machine may be loaded; what is looked for is that pings and their answers go on.
    Peer::Options options;
    options.session.keepalive = 5ms;
    Peer::Options slave_options = serving({{"hang", [&](const Served& served) { hanging(served); }}});
    slave_options.session.keepalive = 5ms;
    PeerPair pair(loop,
                  {std::make_unique<CountingTransport>(std::move(ours), counts),
                   std::make_unique<CountingTransport>(std::move(theirs), counts)},
                  slave_options, options);
    const auto see_pings = [&] {
      const int before = counts.writes;
      while (counts.writes < before + 10) std::this_thread::yield();
    };
    see_pings();
    std::stop_source stop;
    Patience stoppable;
    stoppable.stop = stop.get_token();
    std::thread caller([&] { CHECK_FALSE(call(pair.master, "hang", {}, stoppable, CallKind::streaming).ok()); });
    hanging.wait_for(1);
    see_pings();
    CHECK_FALSE(pair.master->ended());
    CHECK_FALSE(pair.slave->ended());
    stop.request_stop();
    caller.join();
  });
}

TEST_CASE("a peer that is kept after its end costs its loop nothing more") {
  const OwnedLoop loop;
  auto [ours, theirs] = socket_pair();
  Peer::Options options;
  options.session.keepalive = 100ms;  // a look every 5 ms
  PeerPair pair(loop, {std::move(ours), std::move(theirs)}, serving({}), options);
  pair.master->close("that was it");
  pair.master->wait_until_left();
  pair.slave->wait_until_left();
  // What the loop's thread did of itself: how often it woke up between two moments.
  const auto wakes = [&]() -> long {
    std::promise<pid_t> thread;
    loop->post([&] { thread.set_value(static_cast<pid_t>(::syscall(SYS_gettid))); });
    std::ifstream status("/proc/self/task/" + std::to_string(thread.get_future().get()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("voluntary_ctxt_switches:")) return std::stol(line.substr(line.find(':') + 1));
    }
    return -1;
  };
  const auto let_pass = [&](Duration time) {
    std::promise<void> passed;
    loop->at(steady_clock::now() + time, [&] { passed.set_value(); });
    passed.get_future().wait();
  };
  let_pass(50ms);  // the last look takes the entry out
  long least = std::numeric_limits<long>::max();
  for (int i = 0; i < 5 && least > 10; ++i) {  // a busy machine may wake it up now and then
    const long before = wakes();
    REQUIRE(before >= 0);
    let_pass(200ms);
    least = std::min(least, wakes() - before);
  }
  CHECK(least <= 10);
}

TEST_CASE("nothing follows a goodbye, whatever was queued") {
  const FakeClock clock;  // stands still, so that no tick sends what is queued before the goodbye
  const OwnedLoop loop(clock);
  auto [theirs, ours] = socket_pair();
  std::promise<void> queued;
  std::latch closed(1);
  const auto send = [&](const Served& served) {
    served->send(StreamName::out, block_of("data"), 4);  // and no flush() yet
    queued.set_value();
    closed.wait();
    served->answer({});
  };
  const auto peer = Peer::start(std::move(ours), loop, serving({{"send", send}}));
  RawEnd raw(std::move(theirs));
  raw.write(Box{{"_ask", "1"}, {"_command", "send"}, {"op", "1"}});
  queued.get_future().wait();
  peer->close("leaving");
  closed.count_down();
  CHECK(raw.read() == Box{{"_command", "goodbye"}, {"reason", "leaving"}});
  CHECK(raw.read() == Box{});
  peer->wait_until_left();
}
