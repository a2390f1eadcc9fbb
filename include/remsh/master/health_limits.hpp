// HealthLimits: when a slave is not well, and so out of service.
#pragma once

#include <chrono>
#include <cstdint>

namespace remsh {

/// Beyond one of these limits, a slave of a SlaveCollection is not well: it is out of service, as by
/// SlaveCollection::pause(), until it is well again. 0: not checked. What a slave does not say of itself is not checked
/// either. If none is set, slaves are asked nothing.
struct HealthLimits {
  std::uint64_t min_disk_free = 0;              ///< in bytes: HostFacts::disk_free
  std::uint64_t min_memory_available = 0;       ///< in bytes: HostFacts::memory_available
  double max_load_per_cpu = 0;                  ///< HostFacts::load1 for each of its CPUs: 1.0 if all are busy
  std::chrono::milliseconds max_round_trip{0};  ///< of the question and its answer
  std::chrono::milliseconds max_clock_skew{0};  ///< how far its clock may be ahead or behind

  /// How often each slave is asked: SlaveOperations::host_facts(). It has this time, `max_round_trip` or 10 s to
  /// answer, whichever is longest. Only `max_round_trip` judges a slave that has not answered by then.
  std::chrono::milliseconds interval{60'000};
};

}  // namespace remsh
