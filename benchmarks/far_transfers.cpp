// W7: send and fetch a text over long links, with losses and without, compressed and not.

#include "long_link.hpp"
#include "slaves.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

/// The C headers of this system, again and again: text as it is.
std::string real_text(std::size_t size) {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/include")) {
    if (entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  if (text.size() < std::size_t{256} * 1024) throw std::runtime_error("/usr/include has too few headers for a text");
  const std::size_t period = text.size();
  while (text.size() < size) text.append(text, 0, period);
  text.resize(size);
  return text;
}

class FarTransfers final : public Work {
 public:
  explicit FarTransfers(const Bench& bench) : bench_(bench), to_(bench.scratch + "/near") {
    const std::string text = real_text(bench.options.bytes / 32);
    for (LongLinks& links : bench.long_links) {
      links.of_limit.lead_to(bench.tcp_limit.port());
      links.of_ours.lead_to(bench.slaves.tcp_port());
      const std::string name = "far-" + std::to_string(roads_.size());
      const std::uint64_t bytes = text.size() / (links.is_compressed ? 8 : 1);
      const std::string from = bench.scratch + "/" + name + ".text";
      std::ofstream file(from, std::ios::binary);
      if (!(file << text.substr(0, bytes) << std::flush)) throw std::runtime_error("no room for " + from);
      roads_.push_back({links.name, links.of_limit.port(),
                        bench.slaves.start_tcp_at(links.of_ours.port(), name, links.is_compressed), bytes, from});
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
    std::uint64_t bytes = 0;
    std::string from;
  };

  void run(const Road& road, std::size_t round, Report& report) {
    const auto limit = [&](auto move) {
      auto transfer = bench_.tcp_limit.start_transfer_at(road.limit);
      return once(road, bench_.tcp_limit.pid(), [&] { move(transfer); });
    };
    const auto ours = [&](auto move) { return once(road, road.ours.pid, [&] { move(*road.ours.slave); }); };
    const auto sent = in_turns(
        round, [&] { return limit([&](auto& transfer) { transfer.send(road.from, to_); }); },
        [&] { return ours([&](Slave& slave) { slave.send(Source::file(road.from), to_); }); });
    const auto fetched = in_turns(
        round, [&] { return limit([&](auto& transfer) { transfer.fetch(road.from, to_); }); },
        [&] { return ours([&](Slave& slave) { slave.fetch(road.from, Sink::file(to_)); }); });
    report.add({"W7 send" + road.name, "MiB/s", Measure::Better::more, {}}, sent.first, sent.second);
    report.add({"W7 fetch" + road.name, "MiB/s", Measure::Better::more, {}}, fetched.first, fetched.second);
  }

  template <class Move>
  double once(const Road& road, pid_t peer, Move move) {
    std::filesystem::remove(to_);
    const auto taken = time_once(static_cast<double>(road.bytes), peer, move);
    if (std::filesystem::file_size(to_) != road.bytes) throw std::runtime_error("not all of a file came");
    return taken.mib_per_second;
  }

  const Bench& bench_;
  const std::string to_;
  std::vector<Road> roads_;
};

}  // namespace

std::unique_ptr<Work> make_far_transfers(const Bench& bench) { return std::make_unique<FarTransfers>(bench); }

}  // namespace remsh::bench
