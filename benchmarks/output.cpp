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
  explicit Output(const Bench& bench)
      : bench_(bench), ours_(bench.slaves.start_tcp("output")), ours_by_tls_(bench.slaves.start_tls("output-tls")) {}

  void run_round(std::size_t round, Report& report) override {
    run("W5 output", 0.85, bench_.tcp_limit, ours_, round, report);
    run("W5 output under TLS", 1.05, bench_.tls_limit, ours_by_tls_, round, report);
  }

  [[nodiscard]] std::size_t lines() const override { return 4; }

 private:
  void run(const std::string& work, double goal, LimitPeer& limit, const Slaves::Started& started, std::size_t round,
           Report& report) {
    const auto [bare, full] = in_turns(
        round, [&] { return once(limit.pid(), [&] { return limit.relay(bench_.options.bytes); }); },
        [&] { return once(started.pid, [&] { return execute(*started.slave); }); });
    report.add({work, "MiB/s", Measure::Better::more, goal}, bare.mib_per_second, full.mib_per_second);
    report.add({work, "CPU s/GiB", Measure::Better::less, {}}, bare.cpu_per_gib, full.cpu_per_gib);
  }

  std::uint64_t execute(Slave& slave) {
    std::uint64_t total = 0;
    const auto result = slave.execute({"head", "-c", std::to_string(bench_.options.bytes), "/dev/zero"},
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
  Slaves::Started ours_by_tls_;
};

}  // namespace

std::unique_ptr<Work> make_output(const Bench& bench) { return std::make_unique<Output>(bench); }

}  // namespace remsh::bench
