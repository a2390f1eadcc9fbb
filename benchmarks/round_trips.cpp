// W1: one caller, one slave, stat().

#include "slaves.hpp"
#include "stat_bytes.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

class RoundTrips final : public Work {
 public:
  explicit RoundTrips(const Bench& bench)
      : bench_(bench),
        tcp_{"tcp", bench.tcp_limit, bench.slaves.start_tcp("trips-tcp"), 1.25, 1.5},
        unix_{"unix", bench.unix_limit, bench.slaves.start_unix("trips-unix"), 1.3, {}},
        tls_{"tls", bench.tls_limit, bench.slaves.start_tls("trips-tls"), 1.2, {}} {}

  void run_round(std::size_t round, Report& report) override {
    for (Socket* socket : {&tcp_, &unix_, &tls_}) {
      for (const Placement& placement : placements_) run(*socket, placement, round, report);
    }
    place(::getpid(), placements_.back().caller);
  }

  [[nodiscard]] std::size_t lines() const override { return 3 * 3 * placements_.size(); }

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

  const Bench& bench_;
  const std::vector<Placement> placements_ = placements();
  const Bytes request_ = stat_request();
  const std::size_t answer_ = stat_answer().size();
  Socket tcp_;
  Socket unix_;
  Socket tls_;
};

}  // namespace

std::unique_ptr<Work> make_round_trips(const Bench& bench) { return std::make_unique<RoundTrips>(bench); }

}  // namespace remsh::bench
