// Peers hammered by many threads: random deadlines, stops, consumers that throw, nested calls, connections that come
// and go. Peer checks its invariants at every unlock: to be built with assertions, best for the thread sanitizer.
//
// REMSH_STRESS_SEED repeats the choices of a run, though not its timing; REMSH_STRESS_SECONDS makes it longer.
#include "support/peer_pair.hpp"
#include "support/skip.hpp"
#include "support/stress.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;
using rpc::Call;
using rpc::Peer;
using rpc::StreamName;
using CallEvent = Call::Event;
using CallKind = Call::Kind;
using std::chrono::steady_clock;

namespace {

/// The byte of an endless stream at an offset.
char byte_at(std::uint64_t offset) { return static_cast<char>(offset * 2654435761U >> 13U); }

Block piece_at(std::uint64_t offset, std::size_t count) {
  Block block;
  for (std::size_t i = 0; i < count; ++i) block.payload()[i] = byte_at(offset + i);
  return block;
}

bool is_piece_at(std::uint64_t offset, BytesView bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != byte_at(offset + i)) return false;
  }
  return true;
}

std::uint64_t number(const Served& served, BytesView key) { return std::stoull(Bytes(*served->arguments().get(key))); }

// --- what the slave does

/// Output of so many bytes on a thread, in pieces of such a size.
void stream(const Served& served) {
  const std::uint64_t size = number(served, "size");
  const std::uint64_t piece = number(served, "piece");
  for (std::uint64_t at = 0; at < size;) {
    const auto count = static_cast<std::size_t>(std::min(piece, size - at));
    if (!served->write(StreamName::out, piece_at(at, count), count)) return;
    at += count;
  }
  served->answer({{"size", std::to_string(size)}});
}

/// Input to the end of it.
void swallow(const Served& served) {
  std::uint64_t at = 0;
  bool is_right = true;
  for (;;) {
    const auto piece = served->read();
    if (!piece) return;
    if (piece->empty()) break;
    is_right = is_right && is_piece_at(at, *piece);
    at += piece->size();
  }
  served->answer({{"right", is_right ? "1" : "0"}, {"size", std::to_string(at)}});
}

/// Output of so many bytes without a thread.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  explicit Relay(Served served) : served_(std::move(served)), size_(number(served_, "size")) {}

  void step() {
    if (served_->cancelled()) {
      served_->fail({Errc::cancelled, "", 0});
      return;
    }
    while (const std::size_t room = std::min<std::size_t>(size_ - at_, served_->room(StreamName::out))) {
      served_->send(StreamName::out, piece_at(at_, room), room);
      at_ += room;
    }
    served_->flush();
    if (at_ == size_) served_->answer({{"size", std::to_string(size_)}});
  }

 private:
  const Served served_;
  const std::uint64_t size_;
  std::uint64_t at_ = 0;
};

void relay(const Served& served) {
  served->on_change([made = std::make_shared<Relay>(served)] { made->step(); });
}

/// Nothing, until it is cancelled; on a thread.
void hang(const Served& served) {
  while (served->read()) {
  }
  served->fail({Errc::cancelled, "", 0});
}

/// Kept and answered by whoever keeps the next one.
class Keeper {
 public:
  void operator()(const Served& served) {
    Served before;
    {
      const std::lock_guard lock(mutex_);
      before = std::exchange(kept_, served);
    }
    if (before) before->answer(before->arguments());
  }
  void let_go() {
    Served last;
    const std::lock_guard lock(mutex_);
    last.swap(kept_);
  }

 private:
  std::mutex mutex_;
  Served kept_;
};

// --- the run

/// One connection and what replaces it.
struct Slot {
  std::mutex mutex;
  std::shared_ptr<Peer> master;
  std::shared_ptr<Peer> slave;
  std::shared_ptr<Transport> line;  // the slave's, to be cut
};

class PeersRun {
 public:
  PeersRun(unsigned seed, Duration length) : seed_(seed), until_(steady_clock::now() + length) {}

  void run() {
    Random random(seed_);
    for (Slot& slot : slots_) open(slot, random);
    std::vector<std::thread> callers;
    for (unsigned i = 0; i < 8; ++i) callers.emplace_back([this, i] { call_until_over(Random(seed_ + 100 + i)); });
    std::vector<std::thread> helpers;
    helpers.emplace_back([this] { stop_until_over(Random(seed_ + 1)); });
    helpers.emplace_back([this] { replace_until_over(Random(seed_ + 2)); });
    for (auto& caller : callers) caller.join();
    is_over_ = true;
    for (auto& helper : helpers) helper.join();
    for (Slot& slot : slots_) close(slot, random);
    keeper_.let_go();
  }

  std::atomic<int> wrong{0};
  std::array<std::atomic<int>, 6> done{};  // per kind of call
  std::atomic<int> timeouts{0};
  std::atomic<int> stops{0};
  std::atomic<int> lost{0};
  std::atomic<int> thrown{0};

 private:
  struct Thrown : std::runtime_error {
    Thrown() : std::runtime_error("by a consumer") {}
  };

  [[nodiscard]] bool is_time_over() const { return steady_clock::now() >= until_; }

  void complain(const std::string& what) {
    ++wrong;
    std::fprintf(stderr, "peer_stress: seed %u: %s\n", seed_, what.c_str());
  }

  // Connections.

  void open(Slot& slot, Random& random) {
    TransportPair transports;
    switch (random() % 6) {
      case 0: transports = memory_pair(); break;
      case 1: transports = memory_pair(1 + random() % 5000); break;
      case 2: transports = with_tls(memory_pair(1 + random() % 5000), {.records_per_key = 1 + random() % 50}); break;
      case 3: transports = with_tls(socket_pair()); break;
      default: transports = socket_pair();
    }
    Peer::Options options;
    Peer::Options serves = serving({{"echo", echo},
                                    {"hang", hang},
                                    {"keep", [this](const Served& served) { keeper_(served); }},
                                    {"relay", relay},
                                    {"stream", stream},
                                    {"swallow", swallow}});
    serves.threads = 1 + random() % 16;
    if (one_in(random, 2)) serves.session.keepalive = options.session.keepalive = 1ms;
    std::shared_ptr<Transport> line = std::move(transports.second);
    const bool compresses = one_in(random, 2);
    auto slave = Peer::start(std::make_unique<CountingTransport>(line, counts_), loop_, serves, {}, compresses);
    auto master = Peer::start(std::move(transports.first), loop_, options, {}, compresses);
    const std::lock_guard lock(slot.mutex);
    slot.slave = std::move(slave);
    slot.master = std::move(master);
    slot.line = std::move(line);
  }

  void close(Slot& slot, Random& random) {
    std::shared_ptr<Peer> master;
    std::shared_ptr<Peer> slave;
    std::shared_ptr<Transport> line;
    {
      const std::lock_guard lock(slot.mutex);
      line = std::exchange(slot.line, nullptr);
      master = std::exchange(slot.master, nullptr);
      slave = std::exchange(slot.slave, nullptr);
    }
    switch (random() % 3) {
      case 0: master->close("replaced", 1); break;
      case 1: slave->close("replaced"); break;
      default: line->shutdown();
    }
    if (one_in(random, 2)) {
      master->close("at last");
      master->wait_until_left();
    }
    master.reset();  // else the last of its callers drops it
    slave->close("at last");
    slave->wait_until_left();
    if (slave->ended()->code == Errc::protocol_error) complain("the slave says: " + slave->ended()->message);
  }

  void replace_until_over(Random random) {
    while (!is_over_) {
      Slot& slot = slots_[random() % slots_.size()];
      close(slot, random);
      open(slot, random);
      pause(random() % 30);
    }
  }

  // Stops.

  std::stop_token token(Random& random) {
    if (!one_in(random, 4)) return {};
    std::stop_source source;
    if (one_in(random, 10)) source.request_stop();
    const std::lock_guard lock(mutex_);
    sources_.push_back(source);
    return source.get_token();
  }

  void stop_until_over(Random random) {
    while (!is_over_) {
      std::vector<std::stop_source> sources;
      {
        const std::lock_guard lock(mutex_);
        sources.swap(sources_);
      }
      for (std::stop_source& source : sources) {
        if (!one_in(random, 3)) source.request_stop();
      }
      pause(random() % 4);
    }
  }

  /// For the helpers' pace only: nothing waits for what happens meanwhile.
  void pause(unsigned long milliseconds) {
    std::unique_lock lock(mutex_);
    paused_.wait_for(lock, std::chrono::milliseconds(milliseconds + 1));
  }

  // Calls.

  void call_until_over(Random random) {
    while (!is_time_over()) {
      Slot& slot = slots_[random() % slots_.size()];
      std::shared_ptr<Peer> peer;
      {
        const std::lock_guard lock(slot.mutex);
        peer = slot.master;
      }
      if (!peer) continue;
      try {
        call(peer, random, 0);
      } catch (const Thrown&) {
        ++thrown;
      }
    }
  }

  void call(const std::shared_ptr<Peer>& peer, Random& random, int depth) {
    Patience options;
    options.stop = token(random);
    const bool hangs = one_in(random, 8);
    if (hangs || one_in(random, 4)) options.deadline = Deadline(std::chrono::microseconds(random() % 20'000));
    if (hangs) {
      finish(hang_up, peer, Call(peer, "hang", {}, CallKind::streaming, options), random, options, 0, depth);
      return;
    }
    const std::uint64_t size = one_in(random, 5) ? 100'000 + random() % 400'000 : random() % 20'000;
    const Box sizes{{"piece", std::to_string(1 + random() % 60'000)}, {"size", std::to_string(size)}};
    switch (random() % 6) {
      case 0:
        finish(streaming, peer, Call(peer, "stream", sizes, CallKind::streaming, options), random, options, size,
               depth);
        break;
      case 1:
        finish(relayed, peer, Call(peer, "relay", sizes, CallKind::streaming, options), random, options, size, depth);
        break;
      case 2:
        finish(swallowed, peer, Call(peer, "swallow", {}, CallKind::streaming, options), random, options, size, depth);
        break;
      case 3:
        // The last one kept waits for the next: not without a deadline.
        options.deadline = Deadline(std::chrono::microseconds(random() % 20'000));
        finish(keeping, peer, Call(peer, "keep", sizes, CallKind::plain, options), random, options, 0, depth);
        break;
      default: {
        const Box asked{{"v", Bytes(random() % (one_in(random, 20) ? 300'000 : 100), 'v')}};
        Call made(peer, "echo", asked, CallKind::plain, options);
        if (finish(echoing, peer, std::move(made), random, options, 0, depth) && made.answer() != asked) {
          complain("an echo of something else");
        }
      }
    }
  }

  enum What { hang_up, streaming, relayed, swallowed, keeping, echoing };

  /// Drives a call to its end, or leaves it. True where it was answered.
  bool finish(What what, const std::shared_ptr<Peer>& peer, Call&& made, Random& random, const Patience& options,
              std::uint64_t size, int depth) {
    std::uint64_t at = 0;
    bool feeds = what == swallowed;
    for (;;) {
      switch (made.next(feeds)) {
        case CallEvent::chunk:
          if (!is_piece_at(at, made.chunk().bytes())) complain("output of something else");
          at += made.chunk().bytes().size();
          if (one_in(random, 40)) throw Thrown();
          if (depth < 3 && one_in(random, 20)) {
            call(peer, random, depth + 1);
            if (!is_piece_at(at - made.chunk().bytes().size(), made.chunk().bytes())) complain("a chunk has changed");
          }
          if (one_in(random, 20)) std::this_thread::yield();
          break;
        case CallEvent::room: {
          if (one_in(random, 100)) throw Thrown();
          const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size - at, made.room()));
          if (count == 0) {
            feeds = false;
            made.end_input();
          } else {
            made.send(piece_at(at, count), count);
            at += count;
          }
          break;
        }
        case CallEvent::answered:
          if (what == hang_up) complain("an answer of what never answers");
          if (what <= swallowed && (at != size || made.answer().get("size") != std::to_string(size))) {
            complain(std::to_string(at) + " bytes of " + std::to_string(size));
          }
          if (what == swallowed && made.answer().get("right") != "1") complain("input of something else");
          ++done[what];
          return true;
        case CallEvent::failed: {
          const Failure& failure = made.failure();
          if (failure.code == Errc::timeout && !options.deadline.is_never()) {
            ++timeouts;
            if (what == hang_up) ++done[hang_up];
          } else if (failure.code == Errc::cancelled && options.stop.stop_requested()) {
            ++stops;
          } else if (failure.code == Errc::connection_lost || peer->ended()) {
            if (failure.code == Errc::protocol_error) complain("the master says: " + failure.message);
            ++lost;
          } else if (failure.code != Errc::busy && failure.code != Errc::cancelled) {
            complain("failed: " + failure.message);
          }
          return false;
        }
      }
    }
  }

  const unsigned seed_;
  const TimePoint until_;
  TransportCounts counts_;  // of no interest
  OwnedLoop loop_;
  Keeper keeper_;
  std::array<Slot, 3> slots_;
  std::atomic<bool> is_over_{false};
  std::mutex mutex_;
  std::condition_variable paused_;
  std::vector<std::stop_source> sources_;
};

}  // namespace

TEST_CASE("peers keep their invariants whatever many threads do to them") {
  const std::string any = std::to_string(std::random_device()());
  const auto seed = static_cast<unsigned>(std::stoul(setting("REMSH_STRESS_SEED", any)));
  const auto length = std::chrono::seconds(std::stoi(setting("REMSH_STRESS_SECONDS", "5")));
  std::printf("peer_stress: seed %u\n", seed);
  std::fflush(stdout);
#ifdef NDEBUG
  std::printf("peer_stress: built without asserts, so the invariants of a peer are not checked\n");
#endif
  PeersRun run(seed, length);
  run.run();
  std::printf("peer_stress: hang %d, stream %d, relay %d, swallow %d, keep %d, echo %d\n", run.done[0].load(),
              run.done[1].load(), run.done[2].load(), run.done[3].load(), run.done[4].load(), run.done[5].load());
  std::printf("peer_stress: timeouts %d, stops %d, lost %d, thrown %d\n", run.timeouts.load(), run.stops.load(),
              run.lost.load(), run.thrown.load());
  CHECK(run.wrong == 0);
  for (const auto& done : run.done) CHECK(done > 0);
}
