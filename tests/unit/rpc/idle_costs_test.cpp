// Idle peers set no timers but those of their liveness, however many they are; counted in time that a test moves.
#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "rpc/peer_group.hpp"
#include "support/fake_clock.hpp"
#include "support/peer_pair.hpp"

#include <remsh/transport/memory.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace idle_costs_test {

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;

constexpr Duration keepalive = 10s;

/// Holds the worker threads that park, so that they do not call the driven loop of their peer at any time.
class ParkedWorkers {
 public:
  /// Called by a worker that parks. Returns at the end.
  void hold() {
    std::unique_lock lock(mutex_);
    ++parked_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_over_; });
  }
  /// False if none has parked for a while.
  bool wait_for_one() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 5ms, [this] { return parked_ > 0; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int parked_ = 0;
  bool is_over_ = false;
};

/// A master's peers and their slaves', each side with a loop that runs when the test says so.
class IdlePair {
 public:
  IdlePair() {
    masters_ = std::make_shared<rpc::PeerGroup>(master_loop_, options({}, 0s, pings_of_slaves_));
    rpc::PeerGroup::Options served = serving({{"stat", [](const Served& call) { call->answer({{"size", "4096"}}); }}});
    // As a slave does: it waits a little longer.
    slaves_ =
        std::make_shared<rpc::PeerGroup>(slave_loop_, options(std::move(served), keepalive / 16, pings_of_masters_));
  }
  IdlePair(const IdlePair&) = delete;
  IdlePair& operator=(const IdlePair&) = delete;
  ~IdlePair() {
    for (const auto& peer : peers_) peer->close("the test is over");
    workers_.let_go();
    for (int i = 0; i < 4; ++i) {
      clock_.advance(20ms);  // so that no peer rests, and no worker reads
      run_all();
    }
    for (const auto& peer : peers_) peer->wait_until_left();
  }

  void add() {
    auto [ours, theirs] = memory_pair();
    peers_.push_back(std::make_shared<rpc::Peer>(masters_));
    peers_.back()->open(std::move(ours));
    peers_.push_back(std::make_shared<rpc::Peer>(slaves_));
    peers_.back()->open(std::move(theirs));
    run_all();
  }

  /// A call on the first slave. Its worker reads it, or the loop does and brings a worker.
  void call() {
    rpc::Call made(peers_.front(), "stat", {}, rpc::Call::Kind::plain, {});
    run_all();
    REQUIRE(made.next() == rpc::Call::Event::answered);
  }

  /// Returns when the worker of the first slave waits for the loop, and everything has run that is due.
  void let_worker_park() {
    do clock_.advance(11ms);
    while (!workers_.wait_for_one());
    run_all();
  }

  /// The times at which a loop had timers to run.
  struct WakeUps {
    std::vector<TimePoint> of_master;
    std::vector<TimePoint> of_slave;
  };

  /// Makes calls at this interval.
  WakeUps series(int calls, Duration interval) {
    WakeUps result;
    for (int i = 0; i < calls; ++i) {
      call();
      const auto [master, slave] = run_all();
      clock_.advance(interval);
      if (master <= clock_.now()) result.of_master.push_back(master);
      if (slave <= clock_.now()) result.of_slave.push_back(slave);
      run_all();
    }
    return result;
  }

  /// Moves the clock from one timer to the next, for so long.
  WakeUps pass(Duration time) {
    const TimePoint end = clock_.now() + time;
    WakeUps result;
    for (;;) {
      const auto [master, slave] = run_all();
      const TimePoint next = std::min(master, slave);
      if (next > end) break;
      clock_.advance(next - clock_.now());
      if (master == next) result.of_master.push_back(next);
      if (slave == next) result.of_slave.push_back(next);
    }
    clock_.advance(end - clock_.now());
    return result;
  }

  void set_keepalive(Duration time) {
    for (const auto& peer : peers_) peer->set_keepalive(time, 30s);
  }

  /// Ends all peers and destroys them.
  void drop_all() {
    for (const auto& peer : peers_) peer->close("it was enough");
    run_all();
    for (const auto& peer : peers_) peer->wait_until_left();
    peers_.clear();
  }

  /// How many pings of masters and of slaves were answered.
  [[nodiscard]] std::pair<int, int> pings() const { return {pings_of_masters_, pings_of_slaves_}; }

  [[nodiscard]] bool is_open() const {
    return std::none_of(peers_.begin(), peers_.end(), [](const auto& peer) { return peer->ended().has_value(); });
  }

 private:
  static rpc::PeerGroup::Options options(rpc::PeerGroup::Options options, Duration ping_delay,
                                         std::atomic<int>& answered) {
    options.session.keepalive = keepalive;
    options.session.ping_delay = ping_delay;
    options.session.patience = 30s;
    options.on_ping = [&answered] { ++answered; };
    return options;
  }

  /// Runs what is due on both loops, and what that brings to the other one. Returns the times of their next timers.
  std::pair<TimePoint, TimePoint> run_all() {
    std::pair<TimePoint, TimePoint> next;
    for (int i = 0; i < 4; ++i) next = {master_loop_->run_due(), slave_loop_->run_due()};
    return next;
  }

  std::atomic<int> pings_of_masters_ = 0;
  std::atomic<int> pings_of_slaves_ = 0;
  FakeClock clock_;
  ParkedWorkers workers_;
  const std::shared_ptr<Loop> master_loop_ = Loop::make_driven(clock_, [] {});
  const std::shared_ptr<Loop> slave_loop_ = Loop::make_driven(clock_, [this] { workers_.hold(); });
  std::shared_ptr<rpc::PeerGroup> masters_;
  std::shared_ptr<rpc::PeerGroup> slaves_;
  std::vector<std::shared_ptr<rpc::Peer>> peers_;
};

/// The master wakes up to ping, and the slave to see that it need not.
void check_idle_minute(IdlePair& pair) {
  const auto [master_before, slave_before] = pair.pings();
  const auto minute = pair.pass(1min);
  CHECK(minute.of_master.size() == 6);
  CHECK(minute.of_slave.size() <= 6);
  for (const auto& times : {minute.of_master, minute.of_slave}) {
    for (std::size_t i = 1; i < times.size(); ++i) CHECK(times[i] - times[i - 1] == keepalive);
  }
  const auto [master, slave] = pair.pings();
  CHECK(master == master_before + 6);
  CHECK(slave == slave_before);
  CHECK(pair.is_open());
}

TEST_CASE("two peers that never had a call wake up for their pings alone") {
  IdlePair pair;
  pair.add();
  check_idle_minute(pair);
}

TEST_CASE("after the last call and a rest, two peers wake up for their pings alone") {
  IdlePair pair;
  pair.add();
  for (int i = 0; i < 100; ++i) pair.call();
  pair.let_worker_park();
  const auto rest = pair.pass(100ms);
  CHECK(rest.of_master.size() <= 1);        // a rest, if it is not over yet
  CHECK(rest.of_slave.size() <= 2);         // ticks of the server
  static_cast<void>(pair.pass(keepalive));  // looks that were asked for before the last call
  check_idle_minute(pair);
}

TEST_CASE("calls in a series wake the io threads by the slice and by the tick, and not by the call") {
  IdlePair pair;
  pair.add();
  const auto second = pair.series(1000, 1ms);
  MESSAGE("wake-ups in a second with 1,000 calls: ", second.of_master.size(), " and ", second.of_slave.size());
  CHECK(second.of_master.size() <= 100);  // rests of 10 ms
  CHECK(second.of_slave.size() <= 80);    // 16 ticks of 2 ms, others of 16 ms
}

TEST_CASE("many idle peers of a group wake it up no more often than 16 times a second") {
  constexpr Duration gap = 62500us;
  IdlePair pair;
  for (int i = 0; i < 200; ++i) {
    pair.add();
    static_cast<void>(pair.pass(i < 100 ? 20ms : 0ms));  // some are due one after another, and some at once
  }
  static_cast<void>(pair.pass(keepalive));
  const auto minute = pair.pass(1min);
  CHECK(minute.of_master.size() > 6);
  CHECK(minute.of_master.size() <= 6 * (2s / gap + 4));
  for (std::size_t i = 1; i < minute.of_master.size(); ++i) {
    CHECK(minute.of_master[i] - minute.of_master[i - 1] >= gap);
  }
  CHECK(pair.is_open());
}

TEST_CASE("a peer without a keepalive is looked at once a minute") {
  IdlePair pair;
  pair.add();
  pair.set_keepalive(0s);
  static_cast<void>(pair.pass(keepalive));  // looks that were asked for before
  const auto hour = pair.pass(1h);
  CHECK(hour.of_master.size() == 60);
  CHECK(hour.of_slave.size() == 60);
}

TEST_CASE("a keepalive that is made shorter counts at once") {
  IdlePair pair;
  pair.add();
  pair.set_keepalive(1s);
  const auto pause = pair.pass(1s + keepalive / 16);
  CHECK(pause.of_master.size() == 1);
  CHECK(pause.of_slave.size() == 1);
}

TEST_CASE("peers that are destroyed leave no timer behind") {
  IdlePair pair;
  for (int i = 0; i < 10; ++i) pair.add();
  pair.drop_all();
  const auto hour = pair.pass(1h);
  CHECK(hour.of_master.empty());
}

}  // namespace idle_costs_test
