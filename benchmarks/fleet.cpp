// W6: fleets. Connect, prove both sides and register; one small call to all; one call among them; memory and threads;
// then what the others feel of a tenth that is frozen, and of all that cut their connections and come again.
//
// The master is a process of its own, and one more process plays all slaves from bytes. The limit is an epoll server
// with the same slaves and a handshake of fewer messages.

#include "fleet_orders.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <signal.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::size_t calls_to_all = 5;

/// How long one call takes, again and again, while others may do something else.
struct OneCall {
  double p50_us;
  double p99_us;
};

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

  // Ours only.
  double rest_us = 0;         // a call to all but a tenth
  double rest_frozen_us = 0;  // the same while the tenth is frozen
  double one_frozen_us = 0;
  double reconnected_per_second = 0;
  OneCall one_in_storm{};
};

OneCall call_one(const FleetPart& master, double seconds) {
  const std::string answer = master.ask("call_one " + std::to_string(seconds));
  return {std::stod(answer), std::stod(answer.substr(answer.find(' ')))};
}

/// The same on one CPU: the median.
double call_one_on_one_cpu(const FleetPart& master, const FleetPart& slaves, double seconds) {
  const std::vector<std::size_t> everywhere = usable_cpus();
  for (const pid_t pid : {master.pid(), slaves.pid()}) place(pid, {everywhere.front()});
  const double taken = call_one(master, seconds).p50_us;
  for (const pid_t pid : {master.pid(), slaves.pid()}) place(pid, everywhere);
  return taken;
}

void register_more(const FleetPart& master, const FleetPart& slaves, std::size_t more, std::size_t then) {
  master.tell("await " + std::to_string(then));
  static_cast<void>(slaves.ask("connect " + std::to_string(more)));
  static_cast<void>(master.hear());
}

/// One more tenth comes, and is frozen; then all others cut their connections and come again at once.
void measure_trouble(const FleetPart& master, const std::string& port, const FleetPart& slaves, std::size_t count,
                     double seconds, Fleet& figures) {
  const std::size_t tenth = count / 10;
  FleetPart others(slaves_args(FleetKind::remsh, count, tenth, port));
  static_cast<void>(others.hear());
  register_more(master, others, tenth, count + tenth);
  const auto call_rest = [&] {
    return std::stod(master.ask("call_first " + std::to_string(count))) / static_cast<double>(count);
  };
  figures.rest_us = call_rest();
  ::kill(others.pid(), SIGSTOP);
  static_cast<void>(master.ask("call_on " + std::to_string(count)));  // each frozen slave owes an answer
  figures.rest_frozen_us = call_rest();
  figures.one_frozen_us = call_one_on_one_cpu(master, slaves, seconds);
  ::kill(others.pid(), SIGCONT);

  static_cast<void>(master.ask("subject " + std::to_string(count)));  // of the tenth, as the other process is busy now
  const double begin = now();
  slaves.tell("reconnect " + std::to_string(count));
  figures.one_in_storm = call_one(master, seconds);
  static_cast<void>(slaves.hear());
  figures.reconnected_per_second = static_cast<double>(count) / (now() - begin);
  static_cast<void>(master.ask("await " + std::to_string(count + tenth)));
  others.end();
}

/// A fleet that comes, works and goes.
Fleet measure_fleet(FleetKind kind, std::size_t count, double seconds) {
  Fleet figures;
  const FleetPart master(master_args(kind, count + count / 10));
  const std::string port = master.hear();
  FleetPart slaves(slaves_args(kind, 0, count, port));
  static_cast<void>(slaves.hear());

  register_more(master, slaves, 1, 1);  // what is made for the first slave only is not counted
  if (kind == FleetKind::remsh) figures.one_alone_us = call_one_on_one_cpu(master, slaves, seconds);
  const auto more = static_cast<double>(count - 1);
  const double before_kib = private_kib(master.pid());
  double cpu_before = cpu_seconds(master.pid());
  const double begin = now();
  register_more(master, slaves, count - 1, count);
  figures.registered_per_second = more / (now() - begin);
  figures.register_cpu_us = (cpu_seconds(master.pid()) - cpu_before) * 1e6 / more;
  figures.idle_kib = (private_kib(master.pid()) - before_kib) / more;
  figures.threads = static_cast<double>(thread_count(master.pid()));

  const auto all = static_cast<double>(count);
  cpu_before = cpu_seconds(master.pid());
  figures.all_us = std::stod(master.ask("call_all " + std::to_string(calls_to_all))) / all;
  figures.all_cpu_us = (cpu_seconds(master.pid()) - cpu_before) * 1e6 / (all * calls_to_all);
  figures.idle_after_calls_kib = (private_kib(master.pid()) - before_kib) / more;
  if (kind == FleetKind::remsh) {
    figures.one_among_us = call_one_on_one_cpu(master, slaves, seconds);
    measure_trouble(master, port, slaves, count, seconds, figures);
  }
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

  [[nodiscard]] std::size_t lines() const override { return 13 * counts_.size(); }

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
    report.add({fleet + "a tenth frozen, call to the rest (to before)", "us each", less, {}}, ours.rest_us,
               ours.rest_frozen_us);
    report.add({fleet + "a tenth frozen, one call (to alone)", "p50 us", less, {}}, ours.one_alone_us,
               ours.one_frozen_us);
    report.add({fleet + "all come again (to register)", "connections/s", more, {}}, bare.registered_per_second,
               ours.reconnected_per_second);
    report.add_alone({fleet + "one call while all come again", "p50 us", less, {}}, ours.one_in_storm.p50_us);
    report.add_alone({fleet + "one call while all come again", "p99 us", less, {}}, ours.one_in_storm.p99_us);
  }

  const Bench& bench_;
  std::set<std::size_t> counts_;
};

}  // namespace

std::unique_ptr<Work> make_fleets(const Bench& bench) { return std::make_unique<Fleets>(bench); }

}  // namespace remsh::bench
