// W6 with more slaves than a process may have descriptors: each slave is an object in the process of the master, behind
// a transport that has no descriptor. What it gets is answered before the write returns.

#include "box_scan.hpp"
#include "fleet_identity.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "played_answers.hpp"
#include "played_handshake.hpp"
#include "remsh_master.hpp"
#include "report.hpp"
#include "works.hpp"

#include <remsh/master.hpp>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace remsh::bench {

namespace {

/// The slaves of this process. Their state is guarded by one mutex: hardly two threads use it at a time.
struct Players {
  std::mutex mutex;
  std::condition_variable changed;
  PlayedAnswers answers;
};

/// The master's end of the connection to a slave that is played here.
class PlayedTransport final : public Transport {
 public:
  PlayedTransport(Players& players, std::size_t number)
      : players_(players), handshake_(make_remsh_handshake(number, 1)), out_(handshake_->begin(0)) {}

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    std::unique_lock lock(players_.mutex);
    if (out_.empty() && !is_closed_) {
      players_.changed.wait_for(lock, std::min(wait, slice), [this] { return !out_.empty() || is_closed_; });
    }
    if (out_.empty()) return is_closed_ ? IoResult::ended() : IoResult::blocked();
    const std::size_t taken = out_.copy(buffer.data(), buffer.size());
    out_.erase(0, taken);
    if (out_.empty()) out_ = Bytes();  // an idle slave is to cost as little as it can
    return IoResult::moved(taken);
  }

  IoResult write_some(std::span<const std::string_view> buffers) override {
    const std::lock_guard lock(players_.mutex);
    if (is_closed_) return IoResult::broken(EPIPE);
    Bytes bytes = std::exchange(in_, {});
    const std::size_t before = bytes.size();
    for (const std::string_view buffer : buffers) bytes += buffer;
    const std::size_t written = bytes.size() - before;
    BytesView rest = bytes;
    while (const std::size_t used = take(rest)) rest.remove_prefix(used);
    in_ = Bytes(rest);
    tell();
    return IoResult::moved(written);
  }

  Ready wait(Ready directions, Duration wait) override {
    std::unique_lock lock(players_.mutex);
    players_.changed.wait_for(lock, wait, [&] { return (ready() & directions) != Ready::none; });
    return ready() & directions;
  }

  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    const std::lock_guard lock(players_.mutex);
    watcher_ = &watcher;
    token_ = token;
    armed_ = directions;
    tell();
  }

  void disarm_for_good(Watcher& /*watcher*/) noexcept override {
    const std::lock_guard lock(players_.mutex);
    armed_ = Ready::none;
  }

  void shutdown() noexcept override {
    const std::lock_guard lock(players_.mutex);
    is_closed_ = true;
    tell();
  }

  [[nodiscard]] std::string description() const override { return "a played slave"; }

 private:
  [[nodiscard]] Ready ready() const { return Ready::write | (is_closed_ || !out_.empty() ? Ready::read : Ready::none); }

  void tell() {
    players_.changed.notify_all();
    const Ready now = ready() & armed_;
    if (now == Ready::none) return;
    armed_ = Ready::none;
    watcher_->notify(token_, now);
  }

  /// Takes one message, and returns its size; 0 if it is not all there.
  std::size_t take(BytesView bytes) {
    if (!handshake_) {
      const std::size_t size = box_size(bytes);
      if (size > 0) players_.answers.append_to(out_, bytes.substr(0, size));
      return size;
    }
    if (!is_challenged_) {
      const std::size_t size = handshake_->take_challenge(0, bytes, out_);
      is_challenged_ = size > 0;
      return size;
    }
    const std::size_t size = handshake_->take_welcome(0, bytes);
    if (size > 0) handshake_.reset();
    return size;
  }

  Players& players_;
  std::unique_ptr<PlayedHandshake> handshake_;  // null once it has registered
  Bytes in_;                                    // the beginning of a message
  Bytes out_;
  Watcher* watcher_ = nullptr;
  std::uint64_t token_ = 0;
  Ready armed_ = Ready::none;
  bool is_challenged_ = false;
  bool is_closed_ = false;
};

class MemoryFleet final : public Work {
 public:
  explicit MemoryFleet(const Bench& bench) : count_(bench.options.slaves_in_memory), seconds_(bench.options.seconds) {}

  void run_round(std::size_t /*round*/, Report& report) override {
    const FleetPart master(master_args(FleetKind::memory, count_));
    static_cast<void>(master.hear());
    static_cast<void>(master.ask("register 1"));  // what is made for the first slave only is not counted
    const double alone = std::stod(master.ask("call_one " + std::to_string(seconds_)));
    const double before_kib = private_kib(master.pid());
    const double begin = now();
    static_cast<void>(master.ask("register " + std::to_string(count_)));
    const double taken = now() - begin;
    const double idle_kib = private_kib(master.pid()) - before_kib;
    const double all_us = std::stod(master.ask("call_all 3"));
    const double among = std::stod(master.ask("call_one " + std::to_string(seconds_)));

    const auto all = static_cast<double>(count_);
    const std::string fleet = "W6 " + std::to_string(count_) + " slaves in memory: ";
    using enum Measure::Better;
    report.add_alone({fleet + "register", "connections/s", more, {}}, (all - 1) / taken);
    report.add_alone({fleet + "idle, with what plays it", "KiB each", less, {}}, idle_kib / (all - 1));
    report.add_alone({fleet + "call to all", "us each", less, {}}, all_us / all);
    report.add({fleet + "one call (to alone)", "p50 us", less, {}}, alone, among);
    report.add_alone({fleet + "threads", "threads", less, {}}, static_cast<double>(thread_count(master.pid())));
  }

  [[nodiscard]] std::size_t lines() const override { return 5; }

 private:
  std::size_t count_;
  double seconds_;
};

}  // namespace

std::unique_ptr<Work> make_memory_fleet(const Bench& bench) { return std::make_unique<MemoryFleet>(bench); }

void run_memory_master(std::size_t count, const FleetOrders& orders) {
  KeyRing keys;
  const auto registered = register_fleet(keys, count);
  Players players;
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .keys = keys});
  RemshMaster master(slaves, count);
  std::size_t come = 0;
  orders.send("ready");
  while (const auto text = orders.receive()) {
    const FleetOrder order = parse_order(*text);
    if (order.word != "register") {
      orders.send(master.obey(order));
      continue;
    }
    for (; come < static_cast<std::size_t>(order.number); ++come) {
      static_cast<void>(listener.handle_new_connection(std::make_unique<PlayedTransport>(players, come)));
    }
    orders.send("registered");
  }
}

}  // namespace remsh::bench
