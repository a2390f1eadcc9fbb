// W5: execute with much output, to a callback.

#include "slaves.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

namespace remsh::bench {

namespace {

class Output final : public Work {
 public:
  explicit Output(const Bench& bench) : bench_(bench), ours_(bench.slaves.start_tcp("output")) {}

  void run_round(std::size_t round, Report& report) override {
    const auto [bare, full] = in_turns(
        round,
        [&] { return once(bench_.tcp_limit.pid(), [&] { return bench_.tcp_limit.relay(bench_.options.bytes); }); },
        [&] { return once(ours_.pid, [&] { return execute(); }); });
    report.add({"W5 output", "MiB/s", Measure::Better::more, 0.85}, bare.mib_per_second, full.mib_per_second);
    report.add({"W5 output", "CPU s/GiB", Measure::Better::less, {}}, bare.cpu_per_gib, full.cpu_per_gib);
  }

  [[nodiscard]] std::size_t lines() const override { return 2; }

 private:
  std::uint64_t execute() {
    std::uint64_t total = 0;
    const auto result = ours_.slave->execute({"head", "-c", std::to_string(bench_.options.bytes), "/dev/zero"},
                                             {.out = [&](BytesView bytes) { total += bytes.size(); }});
    if (!result.ok()) throw std::runtime_error("head failed: " + result.err);
    return total;
  }

  template <class Relay>
  Throughput once(pid_t peer, Relay relay) {
    std::uint64_t total = 0;
    const auto taken = time_once(static_cast<double>(bench_.options.bytes), peer, [&] { total = relay(); });
    if (total != bench_.options.bytes) throw std::runtime_error("not all of the output came");
    return taken;
  }

  const Bench& bench_;
  Slaves::Started ours_;
};

}  // namespace

std::unique_ptr<Work> make_output(const Bench& bench) { return std::make_unique<Output>(bench); }

}  // namespace remsh::bench
