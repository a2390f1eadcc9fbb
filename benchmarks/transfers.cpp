// W3: send and fetch a file in memory.

#include "slaves.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace remsh::bench {

namespace {

class Transfers final : public Work {
 public:
  explicit Transfers(const Bench& bench)
      : bench_(bench),
        from_(bench.scratch + "/from"),
        to_(bench.scratch + "/to"),
        tcp_{"", bench.tcp_limit, bench.slaves.start_tcp("transfers")},
        tls_{" under TLS", bench.tls_limit, bench.slaves.start_tls("transfers-tls")} {
    const std::string piece(1 << 20, 'x');
    std::ofstream file(from_, std::ios::binary);
    for (std::uint64_t written = 0; written < bench.options.bytes; written += piece.size()) file << piece;
    if (!file.flush()) throw std::runtime_error("no room for " + from_);
  }

  void run_round(std::size_t round, Report& report) override {
    for (Road* road : {&tcp_, &tls_}) run(*road, round, report);
  }

  [[nodiscard]] std::size_t lines() const override { return 2 * 4; }

 private:
  struct Road {
    std::string name;
    LimitPeer& limit;
    Slaves::Started ours;
  };

  void run(Road& road, std::size_t round, Report& report) {
    const auto limit = [&](auto move) {
      auto transfer = road.limit.start_transfer();  // connections of ours are there already, too
      return once(road.limit.pid(), [&] { move(transfer); });
    };
    const auto ours = [&](auto move) { return once(road.ours.pid, [&] { move(*road.ours.slave); }); };
    const auto send = [&](auto& transfer) { transfer.send(from_, to_); };
    const auto fetch = [&](auto& transfer) { transfer.fetch(from_, to_); };
    const auto our_send = [&](Slave& slave) { slave.send(Source::file(from_), to_); };
    const auto our_fetch = [&](Slave& slave) { slave.fetch(from_, Sink::file(to_)); };
    add("W3 send" + road.name,
        in_turns(
            round, [&] { return limit(send); }, [&] { return ours(our_send); }),
        report);
    add("W3 fetch" + road.name,
        in_turns(
            round, [&] { return limit(fetch); }, [&] { return ours(our_fetch); }),
        report);
  }

  template <class Move>
  Throughput once(pid_t peer, Move move) {
    std::filesystem::remove(to_);
    const auto taken = time_once(static_cast<double>(bench_.options.bytes), peer, move);
    if (std::filesystem::file_size(to_) != bench_.options.bytes) throw std::runtime_error("not all of a file came");
    std::filesystem::remove(to_);
    return taken;
  }

  static void add(const std::string& work, const std::pair<Throughput, Throughput>& pair, Report& report) {
    report.add({work, "MiB/s", Measure::Better::more, 1.05}, pair.first.mib_per_second, pair.second.mib_per_second);
    report.add({work, "CPU s/GiB", Measure::Better::less, 1.1}, pair.first.cpu_per_gib, pair.second.cpu_per_gib);
  }

  const Bench& bench_;
  const std::string from_;
  const std::string to_;
  Road tcp_;
  Road tls_;
};

}  // namespace

std::unique_ptr<Work> make_transfers(const Bench& bench) { return std::make_unique<Transfers>(bench); }

}  // namespace remsh::bench
