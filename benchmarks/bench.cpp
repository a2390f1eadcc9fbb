// bench: the library's works next to their bare limits, in one run.

#include "fleet_orders.hpp"
#include "limits.hpp"
#include "machine.hpp"
#include "message_peer.hpp"
#include "options.hpp"
#include "report.hpp"
#include "report_json.hpp"
#include "slaves.hpp"
#include "works.hpp"

#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <exception>
#include <memory>
#include <vector>

namespace remsh::bench {

namespace {

/// What the figures are to be judged by.
void print_state(const Options& options, const Scratch& scratch, const Bystanders& bystanders) {
  double load[3] = {0, 0, 0};
  static_cast<void>(::getloadavg(load, 3));
  std::printf("\n%zu rounds, %.2f s for each round trip, transfers of %llu MiB in %s; %zu CPUs, load %.1f",
              options.rounds, options.seconds, static_cast<unsigned long long>(options.bytes >> 20U),
              scratch.path().c_str(), usable_cpus().size(), load[0]);
  if (const auto share = bystanders.share()) std::printf(", others used %.0f %% of the CPUs", *share * 100);
  const std::size_t largest = largest_fleet();
  if (options.works.contains("W6") && largest < *std::max_element(options.fleets.begin(), options.fleets.end())) {
    std::printf("\nFleets have at most %zu slaves: the hard limit of descriptors (ulimit -Hn) allows no more.",
                largest);
  }
  std::printf(
      "\nxL: how many times worse than the limit of the same round, median of all rounds. The machine's state is "
      "shared:\n"
      "only these ratios mean anything, and only where others used little of it.\n");
}

int run(const Options& options) {
  const Bystanders bystanders;
  const Scratch scratch(options.bytes * 3);
  if (options.works.contains("W6")) {
    make_room_for_fleet(*std::max_element(options.fleets.begin(), options.fleets.end()));
  }
  LimitPeer tcp_limit(LimitPeer::Kind::tcp);  // before the library starts a thread
  LimitPeer unix_limit(LimitPeer::Kind::unix_socket);
  LimitPeer tls_limit(LimitPeer::Kind::tls);
  std::deque<LimitPeer> many_limits;
  while (options.works.contains("W2") && many_limits.size() < options.many_slaves) {
    many_limits.emplace_back(LimitPeer::Kind::tcp);
  }
  std::deque<LongLinks> long_links;
  if (options.works.contains("W7")) {
    long_links.emplace_back(", 60 ms, 100 Mbit/s", LinkOptions{});
    long_links.emplace_back(", the same with 1 % lost", LinkOptions{.one_lost_in = 100});
    if (has_compression()) {
      long_links.emplace_back(", 60 ms, 10 Mbit/s, compressed", LinkOptions{.bytes_per_second = 1.25e6}, true);
    } else {
      std::puts("W7 leaves compression out: this library was built without zstd.");
    }
  }
  MessagePeer tcp_messages;
  MessagePeer unix_messages;
  Slaves slaves(scratch.path());
  const Bench bench{options,     scratch.path(), tcp_limit,    unix_limit,    tls_limit,
                    many_limits, long_links,     tcp_messages, unix_messages, slaves};

  std::vector<std::unique_ptr<Work>> works;
  if (options.works.contains("W1")) works.push_back(make_round_trips(bench));
  if (options.works.contains("W1")) works.push_back(make_other_libraries(bench));
  if (options.works.contains("W2")) works.push_back(make_concurrent_calls(bench));
  if (options.works.contains("W2")) works.push_back(make_many_slaves(bench));
  if (options.works.contains("W3")) works.push_back(make_transfers(bench));
  if (options.works.contains("W4")) works.push_back(make_commands(bench));
  if (options.works.contains("W3") || options.works.contains("W4")) works.push_back(make_other_programs(bench));
  if (options.works.contains("W5")) works.push_back(make_output(bench));
  if (options.works.contains("W6")) works.push_back(make_fleets(bench));
  if (options.works.contains("W6")) works.push_back(make_tls_fleet(bench));
  if (options.works.contains("W6") && options.slaves_in_memory > 0) works.push_back(make_memory_fleet(bench));
  if (options.works.contains("W7")) works.push_back(make_far_transfers(bench));
  if (options.works.contains("M1")) works.push_back(make_messages(bench));

  Report report;
  std::size_t lines = 0;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    for (const auto& work : works) work->run_round(round, report);
  }
  for (const auto& work : works) lines += work->lines();
  report.print();
  print_state(options, scratch, bystanders);
  if (!options.json.empty()) {
    write_json(report, {options.rounds, usable_cpus().size(), bystanders.share()}, options.json);
  }
  if (options.check && !report.is_complete(lines, options.rounds)) {
    std::fprintf(stderr, "bench: there is not a figure for everything\n");
    return 1;
  }
  return 0;
}

}  // namespace

}  // namespace remsh::bench

int main(int argc, char** argv) {
  try {
    if (const auto code = remsh::bench::run_as_slave(argc, argv)) return *code;
    if (const auto code = remsh::bench::run_as_part_of_fleet(argc, argv)) return *code;
    remsh::bench::Options options;
    if (const auto code = remsh::bench::parse(argc, argv, options)) return *code;
    return remsh::bench::run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: %s\n", error.what());
    return 1;
  }
}
