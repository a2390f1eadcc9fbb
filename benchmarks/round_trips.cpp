// W1: one caller, one slave, stat(); alone, and beside calls that are open and quiet.

#include "slaves.hpp"
#include "stat_bytes.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <unistd.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::size_t suspended_calls = 100;

/// Commands of a slave that do nothing for as long as this lives.
class QuietCommands {
 public:
  /// One, for which a thread waits.
  static std::unique_ptr<QuietCommands> with_thread(std::shared_ptr<Slave> slave) {
    auto made = std::make_unique<QuietCommands>();
    made->waiting_ = std::thread([slave = std::move(slave), stop = made->stop_.get_token()] {
      try {
        static_cast<void>(slave->execute(command(), {.stop = stop}));
      } catch (const Cancelled&) {
      }
    });
    return made;
  }

  /// Many, for which nobody waits.
  static std::unique_ptr<QuietCommands> suspended(Slave& slave) {
    auto made = std::make_unique<QuietCommands>();
    for (std::size_t i = 0; i < suspended_calls; ++i) made->suspended_.push_back(slave.start_execute(command()));
    return made;
  }

  QuietCommands() = default;
  QuietCommands(const QuietCommands&) = delete;
  QuietCommands& operator=(const QuietCommands&) = delete;
  ~QuietCommands() {
    stop_.request_stop();
    if (waiting_.joinable()) waiting_.join();
  }

 private:
  static std::vector<std::string> command() { return {"sleep", "100000"}; }

  std::stop_source stop_;
  std::thread waiting_;
  std::vector<Pending<ExecuteResult>> suspended_;
};

class RoundTrips final : public Work {
 public:
  explicit RoundTrips(const Bench& bench)
      : bench_(bench),
        tcp_{"tcp", bench.tcp_limit, bench.slaves.start_tcp("trips-tcp"), 1.25, 1.5},
        unix_{"unix", bench.unix_limit, bench.slaves.start_unix("trips-unix"), 1.3, {}},
        tls_{"tls", bench.tls_limit, bench.slaves.start_tls("trips-tls"), 1.2, {}},
        beside_one_(bench.slaves.start_tcp("trips-quiet")),
        beside_many_(bench.slaves.start_tcp("trips-suspended")),
        one_(QuietCommands::with_thread(beside_one_.slave)),
        many_(QuietCommands::suspended(*beside_many_.slave)) {}

  void run_round(std::size_t round, Report& report) override {
    for (Socket* socket : {&tcp_, &unix_, &tls_}) {
      for (const Placement& placement : placements_) run(*socket, placement, round, report);
    }
    run_beside(round, report);
    place(::getpid(), placements_.back().caller);
  }

  [[nodiscard]] std::size_t lines() const override { return 3 * 3 * placements_.size() + 2; }

 private:
  struct Socket {
    const char* name;
    LimitPeer& limit;
    Slaves::Started ours;
    std::optional<double> p50_goal;
    std::optional<double> p99_goal;
  };

  void run(Socket& socket, const Placement& placement, std::size_t round, Report& report) {
    place(::getpid(), placement.caller);
    place(socket.limit.pid(), placement.peer);
    place(socket.ours.pid, placement.peer);
    const auto limit = [&] {
      auto ping_pong = socket.limit.start_stat(request_, answer_);
      return time_each(bench_.options.seconds, socket.limit.pid(), [&] { ping_pong.once(); });
    };
    const auto ours = [&] {
      return time_each(bench_.options.seconds, socket.ours.pid,
                       [&] { static_cast<void>(socket.ours.slave->stat(stat_path)); });
    };
    const auto [bare, full] = in_turns(round, limit, ours);
    Measure measure{"W1 stat, " + std::string(socket.name) + " " + placement.name, "p50 us"};
    if (placement.has_goal) measure.goal = socket.p50_goal;
    report.add(measure, bare.p50_us, full.p50_us);
    measure.figure = "p99 us";
    measure.goal = placement.has_goal ? socket.p99_goal : std::nullopt;
    report.add(measure, bare.p99_us, full.p99_us);
    measure.figure = "CPU us";  // says what we cost also where others take the CPUs away
    measure.goal.reset();
    report.add(measure, bare.cpu_us, full.cpu_us);
  }

  /// On one CPU, to the same call alone.
  void run_beside(std::size_t round, Report& report) {
    const Placement& together = placements_.front();
    place(::getpid(), together.caller);
    const auto p50_us = [&](const Slaves::Started& started) {
      place(started.pid, together.peer);
      return time_each(bench_.options.seconds, started.pid, [&] { static_cast<void>(started.slave->stat(stat_path)); })
          .p50_us;
    };
    const auto add = [&](const std::string& what, const Slaves::Started& started) {
      const auto [alone, beside] = in_turns(
          round, [&] { return p50_us(tcp_.ours); }, [&] { return p50_us(started); });
      report.add({"W1 stat beside " + what + " (to alone)", "p50 us", Measure::Better::less, 1.05}, alone, beside);
    };
    add("a quiet execute", beside_one_);
    add(std::to_string(suspended_calls) + " suspended calls", beside_many_);
  }

  const Bench& bench_;
  const std::vector<Placement> placements_ = placements();
  const Bytes request_ = stat_request();
  const std::size_t answer_ = stat_answer().size();
  Socket tcp_;
  Socket unix_;
  Socket tls_;
  Slaves::Started beside_one_;
  Slaves::Started beside_many_;
  std::unique_ptr<QuietCommands> one_;
  std::unique_ptr<QuietCommands> many_;
};

}  // namespace

std::unique_ptr<Work> make_round_trips(const Bench& bench) { return std::make_unique<RoundTrips>(bench); }

}  // namespace remsh::bench
