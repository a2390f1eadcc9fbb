// W7: send and fetch a file over a link of 60 ms and 100 Mbit/s, with and without losses.

#include "long_link.hpp"
#include "slaves.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

class FarTransfers final : public Work {
 public:
  explicit FarTransfers(const Bench& bench)
      : bench_(bench), bytes_(bench.options.bytes / 32), from_(bench.scratch + "/far"), to_(bench.scratch + "/near") {
    std::ofstream file(from_, std::ios::binary);
    if (!(file << std::string(bytes_, 'x') << std::flush)) throw std::runtime_error("no room for " + from_);
    for (LongLinks& links : bench.long_links) {
      links.of_limit.lead_to(bench.tcp_limit.port());
      links.of_ours.lead_to(bench.slaves.tcp_port());
      const std::string name = "far-" + std::to_string(roads_.size());
      roads_.push_back({links.name, links.of_limit.port(), bench.slaves.start_tcp_at(links.of_ours.port(), name)});
    }
  }

  void run_round(std::size_t round, Report& report) override {
    for (const Road& road : roads_) run(road, round, report);
  }

  [[nodiscard]] std::size_t lines() const override { return 2 * roads_.size(); }

 private:
  struct Road {
    std::string name;
    std::uint16_t limit = 0;
    Slaves::Started ours;
  };

  void run(const Road& road, std::size_t round, Report& report) {
    const auto limit = [&](auto move) {
      auto transfer = bench_.tcp_limit.start_transfer_at(road.limit);
      return once(bench_.tcp_limit.pid(), [&] { move(transfer); });
    };
    const auto ours = [&](auto move) { return once(road.ours.pid, [&] { move(*road.ours.slave); }); };
    const auto sent = in_turns(
        round, [&] { return limit([&](auto& transfer) { transfer.send(from_, to_); }); },
        [&] { return ours([&](Slave& slave) { slave.send(Source::file(from_), to_); }); });
    const auto fetched = in_turns(
        round, [&] { return limit([&](auto& transfer) { transfer.fetch(from_, to_); }); },
        [&] { return ours([&](Slave& slave) { slave.fetch(from_, Sink::file(to_)); }); });
    report.add({"W7 send" + road.name, "MiB/s", Measure::Better::more, {}}, sent.first, sent.second);
    report.add({"W7 fetch" + road.name, "MiB/s", Measure::Better::more, {}}, fetched.first, fetched.second);
  }

  template <class Move>
  double once(pid_t peer, Move move) {
    std::filesystem::remove(to_);
    const auto taken = time_once(static_cast<double>(bytes_), peer, move);
    if (std::filesystem::file_size(to_) != bytes_) throw std::runtime_error("not all of a file came");
    return taken.mib_per_second;
  }

  const Bench& bench_;
  const std::uint64_t bytes_;
  const std::string from_;
  const std::string to_;
  std::vector<Road> roads_;
};

}  // namespace

std::unique_ptr<Work> make_far_transfers(const Bench& bench) { return std::make_unique<FarTransfers>(bench); }

}  // namespace remsh::bench
