// CallRate: how many calls per second many callers make, and the CPU time of each call.
#pragma once

#include "machine.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <exception>
#include <latch>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

namespace remsh::bench {

struct CallRate {
  double per_second;
  double cpu_us;         ///< of this process and all peers together, per call
  double caller_cpu_us;  ///< of this process alone
};

/// Takes time and CPU time while `run` makes calls, which returns how many it made.
template <class Run>
CallRate measure_rate(const std::vector<pid_t>& peers, Run run) {
  const auto of_peers = [&] {
    return std::accumulate(peers.begin(), peers.end(), 0.0,
                           [](double sum, pid_t peer) { return sum + cpu_seconds(peer); });
  };
  const double peers_before = of_peers();
  const double caller_before = cpu_seconds(::getpid());
  const double begin = now();
  const auto calls = static_cast<double>(run());
  const double taken = now() - begin;
  const double caller = cpu_seconds(::getpid()) - caller_before;
  const double all = caller + of_peers() - peers_before;
  return {calls / taken, all * 1e6 / calls, caller * 1e6 / calls};
}

/// The same for calls of many threads: each calls `once` with its number, again and again for so long. The threads are
/// there, and each has made a call, before the time begins.
template <class Once>
CallRate measure_threads(double seconds, std::size_t threads, const std::vector<pid_t>& peers, Once once) {
  std::latch ready(static_cast<std::ptrdiff_t>(threads) + 1);
  std::latch go(1);
  std::mutex mutex;
  std::size_t calls = 0;
  std::exception_ptr error;
  double end = 0;
  std::vector<std::jthread> callers;
  for (std::size_t caller = 0; caller < threads; ++caller) {
    callers.emplace_back([&, caller] {
      std::size_t made = 0;
      std::exception_ptr failed;
      bool is_ready = false;
      try {
        once(caller);
        ready.count_down();
        is_ready = true;
        go.wait();
        for (; now() < end; ++made) once(caller);
      } catch (...) {
        failed = std::current_exception();
        if (!is_ready) ready.count_down();
      }
      const std::scoped_lock lock(mutex);
      calls += made;
      if (failed) error = failed;
    });
  }
  ready.arrive_and_wait();
  const CallRate rate = measure_rate(peers, [&] {
    end = now() + seconds;
    go.count_down();
    callers.clear();  // joins them
    return calls;
  });
  if (error) std::rethrow_exception(error);
  return rate;
}

}  // namespace remsh::bench
