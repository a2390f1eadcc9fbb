// Timing: how limit and ours are measured, both in the same way.
#pragma once

#include "machine.hpp"
#include "report.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace remsh::bench {

/// Measures two things one after the other: the second first in odd rounds, so that neither has the better place.
template <class Limit, class Ours>
auto in_turns(std::size_t round, Limit limit, Ours ours) {
  if (round % 2 == 0) {
    auto first = limit();
    return std::pair{first, ours()};
  }
  auto first = ours();
  return std::pair{limit(), first};
}

struct Latency {
  double p50_us;
  double p99_us;
  double cpu_us;  ///< of this process and the peer together, per call
};

/// How long one call takes, called again and again for so long, after a tenth of that to warm up.
template <class Once>
Latency time_each(double seconds, pid_t peer, Once once) {
  std::vector<double> taken;
  taken.reserve(static_cast<std::size_t>(seconds * 3e5) + 1);  // no page faults of our own while we measure
  for (const double begin = now(); now() < begin + seconds / 10;) once();
  const double cpu_before = cpu_seconds(::getpid()) + cpu_seconds(peer);
  double before = now();
  const double end = before + seconds;
  do {
    once();
    const double after = now();
    taken.push_back((after - before) * 1e6);
    before = after;
  } while (before < end);
  const double cpu = cpu_seconds(::getpid()) + cpu_seconds(peer) - cpu_before;
  return {quantile(taken, 0.5), quantile(taken, 0.99), cpu * 1e6 / static_cast<double>(taken.size())};
}

struct Throughput {
  double mib_per_second;
  double cpu_per_gib;
};

/// How fast something moves bytes once, and the CPU time of this process and a peer.
template <class Once>
Throughput time_once(double bytes, pid_t peer, Once once) {
  const double cpu_before = cpu_seconds(::getpid()) + cpu_seconds(peer);
  const double before = now();
  once();
  const double taken = now() - before;
  const double cpu = cpu_seconds(::getpid()) + cpu_seconds(peer) - cpu_before;
  return {bytes / (1 << 20) / taken, cpu * (1 << 30) / bytes};
}

}  // namespace remsh::bench
