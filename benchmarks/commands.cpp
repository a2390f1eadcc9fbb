// W4: execute /bin/true with its output wanted.

#include "slaves.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <remsh/connection/box_codec.hpp>

#include <optional>
#include <stdexcept>
#include <string>

namespace remsh::bench {

namespace {

constexpr std::size_t gib = std::size_t{1} << 30U;

Bytes execute_request() {
  Bytes bytes;
  BoxWriter(bytes)
      .field("_ask", "1a2b")
      .field("_command", "execute")
      .field("args", BytesView("/bin/true", sizeof "/bin/true"))
      .field("err", "stream")
      .field("op", "1a2b")
      .field("out", "stream")
      .end();
  return bytes;
}
Bytes execute_answer() {
  Bytes bytes;
  BoxWriter(bytes).field("_answer", "1a2b").field("exit", "0").end();
  return bytes;
}

class Commands final : public Work {
 public:
  explicit Commands(const Bench& bench)
      : bench_(bench), ours_(bench.slaves.start_tcp("commands")), ours_by_tls_(bench.slaves.start_tls("commands-tls")) {
    if (bench.options.resident) resident_ = bench.slaves.start_tcp("commands-resident", gib);
  }

  void run_round(std::size_t round, Report& report) override {
    const auto spawn = [&](LimitPeer& limit) {
      auto spawner = limit.start_spawner(request_, answer_);
      return time_each(bench_.options.seconds, limit.pid(), [&] { spawner.once(); });
    };
    const auto [bare, full] = in_turns(
        round, [&] { return spawn(bench_.tcp_limit); }, [&] { return run(ours_); });
    add("W4 /bin/true", bare, full, report);
    const auto [bare_tls, full_tls] = in_turns(
        round, [&] { return spawn(bench_.tls_limit); }, [&] { return run(ours_by_tls_); });
    add("W4 /bin/true under TLS", bare_tls, full_tls, report);
    if (resident_) {
      const Ballast ballast(gib);
      add("W4 /bin/true, 1 GiB resident", bare, run(*resident_), report);
    }
  }

  [[nodiscard]] std::size_t lines() const override { return resident_ ? 9 : 6; }

 private:
  Latency run(const Slaves::Started& started) {
    return time_each(bench_.options.seconds, started.pid, [&] {
      if (!started.slave->execute({"/bin/true"}).ok()) throw std::runtime_error("/bin/true failed");
    });
  }

  static void add(const std::string& work, const Latency& limit, const Latency& ours, Report& report) {
    report.add({work, "p50 us", Measure::Better::less, 1.10}, limit.p50_us, ours.p50_us);
    report.add({work, "p99 us", Measure::Better::less, {}}, limit.p99_us, ours.p99_us);
    report.add({work, "CPU us", Measure::Better::less, {}}, limit.cpu_us, ours.cpu_us);
  }

  const Bench& bench_;
  const Bytes request_ = execute_request();
  const std::size_t answer_ = execute_answer().size();
  Slaves::Started ours_;
  Slaves::Started ours_by_tls_;
  std::optional<Slaves::Started> resident_;
};

}  // namespace

std::unique_ptr<Work> make_commands(const Bench& bench) { return std::make_unique<Commands>(bench); }

}  // namespace remsh::bench
