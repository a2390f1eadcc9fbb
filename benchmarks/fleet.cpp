// W6: fleets. Connect, prove both sides and register; one small call to all; one call among them; memory and threads.
//
// The master is a process of its own, and one more process plays all slaves from bytes. The limit is an epoll server
// with the same slaves and a handshake of fewer messages.

#include "fleet_orders.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::size_t calls_to_all = 5;

struct Fleet {
  double registered_per_second = 0;
  double register_cpu_us = 0;  // of the master, as all that follows
  double all_us = 0;
  double all_cpu_us = 0;
  double one_alone_us = 0;
  double one_among_us = 0;
  double idle_kib = 0;
  double idle_after_calls_kib = 0;
  double threads = 0;
};

/// A fleet that comes, works and goes.
Fleet measure_fleet(FleetKind kind, std::size_t count, double seconds) {
  Fleet figures;
  const FleetPart master(master_args(kind, count));
  FleetPart slaves(slaves_args(kind, count, master.hear()));
  static_cast<void>(slaves.hear());

  const auto register_more = [&](std::size_t more, std::size_t then) {
    master.tell("await " + std::to_string(then));
    static_cast<void>(slaves.ask("connect " + std::to_string(more)));
    static_cast<void>(master.hear());
  };
  const auto call_one = [&] {
    const std::vector<std::size_t> everywhere = usable_cpus();
    for (const pid_t pid : {master.pid(), slaves.pid()}) place(pid, {everywhere.front()});
    const double taken = std::stod(master.ask("call_one " + std::to_string(seconds)));
    for (const pid_t pid : {master.pid(), slaves.pid()}) place(pid, everywhere);
    return taken;
  };

  register_more(1, 1);  // what is made for the first slave only is not counted
  if (kind == FleetKind::remsh) figures.one_alone_us = call_one();
  const auto more = static_cast<double>(count - 1);
  const double before_kib = private_kib(master.pid());
  double cpu_before = cpu_seconds(master.pid());
  const double begin = now();
  register_more(count - 1, count);
  figures.registered_per_second = more / (now() - begin);
  figures.register_cpu_us = (cpu_seconds(master.pid()) - cpu_before) * 1e6 / more;
  figures.idle_kib = (private_kib(master.pid()) - before_kib) / more;
  figures.threads = static_cast<double>(thread_count(master.pid()));

  const auto all = static_cast<double>(count);
  cpu_before = cpu_seconds(master.pid());
  figures.all_us = std::stod(master.ask("call_all " + std::to_string(calls_to_all))) / all;
  figures.all_cpu_us = (cpu_seconds(master.pid()) - cpu_before) * 1e6 / (all * calls_to_all);
  figures.idle_after_calls_kib = (private_kib(master.pid()) - before_kib) / more;
  if (kind == FleetKind::remsh) figures.one_among_us = call_one();
  slaves.end();  // so that they reset their connections: closed ones would fill the system for a minute
  return figures;
}

class Fleets final : public Work {
 public:
  explicit Fleets(const Bench& bench) : bench_(bench) {
    for (const std::size_t wanted : bench.options.fleets) counts_.insert(std::min(wanted, largest_fleet()));
  }

  void run_round(std::size_t round, Report& report) override {
    for (const std::size_t count : counts_) run(count, round, report);
  }

  [[nodiscard]] std::size_t lines() const override { return 8 * counts_.size(); }

 private:
  void run(std::size_t count, std::size_t round, Report& report) const {
    const auto measure = [&](FleetKind kind) { return measure_fleet(kind, count, bench_.options.seconds / 2); };
    const auto [bare, ours] = in_turns(
        round, [&] { return measure(FleetKind::limit); }, [&] { return measure(FleetKind::remsh); });
    const std::string fleet = "W6 " + std::to_string(count) + " slaves: ";
    using enum Measure::Better;
    report.add({fleet + "register", "connections/s", more, 1.5}, bare.registered_per_second,
               ours.registered_per_second);
    report.add({fleet + "register", "master CPU us", less, 2}, bare.register_cpu_us, ours.register_cpu_us);
    report.add({fleet + "call to all", "us each", less, 1.4}, bare.all_us, ours.all_us);
    report.add({fleet + "call to all", "master CPU us", less, {}}, bare.all_cpu_us, ours.all_cpu_us);
    report.add({fleet + "one call (to alone)", "p50 us", less, 1.3}, ours.one_alone_us, ours.one_among_us);
    report.add_alone({fleet + "idle", "KiB each", less, 1}, ours.idle_kib);
    report.add_alone({fleet + "idle after calls", "KiB each", less, 1}, ours.idle_after_calls_kib);
    report.add_alone({fleet + "threads", "threads", less, {}}, ours.threads);
  }

  const Bench& bench_;
  std::set<std::size_t> counts_;
};

}  // namespace

std::unique_ptr<Work> make_fleets(const Bench& bench) { return std::make_unique<Fleets>(bench); }

}  // namespace remsh::bench
