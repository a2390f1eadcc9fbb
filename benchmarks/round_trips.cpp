// W1: one caller, one slave, stat().

#include "slaves.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <remsh/connection/box_codec.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

constexpr const char* path = "/tmp";

/// The very bytes of one such call, with a tag as it is after some thousand of them.
Bytes request_bytes() {
  Bytes bytes;
  BoxWriter(bytes).field("_ask", "1a2b").field("_command", "stat").field("path", path).end();
  return bytes;
}
Bytes answer_bytes() {
  struct stat info {};
  if (::stat(path, &info) != 0) fail(path);
  char mode[16];
  std::snprintf(mode, sizeof mode, "%o", static_cast<unsigned>(info.st_mode & 07777U));
  Bytes bytes;
  BoxWriter(bytes)
      .field("_answer", "1a2b")
      .field("mode", mode)
      .field("mtime", std::to_string(info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec))
      .field("size", std::to_string(info.st_size))
      .field("type", "directory")
      .end();
  return bytes;
}

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
      auto ping_pong = socket.limit.start_ping_pong(request_, answer_);
      return time_each(bench_.options.seconds, socket.limit.pid(), [&] { ping_pong.once(); });
    };
    const auto ours = [&] {
      return time_each(bench_.options.seconds, socket.ours.pid,
                       [&] { static_cast<void>(socket.ours.slave->stat(path)); });
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
  const Bytes request_ = request_bytes();
  const std::size_t answer_ = answer_bytes().size();
  Socket tcp_;
  Socket unix_;
  Socket tls_;
};

}  // namespace

std::unique_ptr<Work> make_round_trips(const Bench& bench) { return std::make_unique<RoundTrips>(bench); }

}  // namespace remsh::bench
