// Seeds: the runs of a simulation, one for each seed.
//
// A seed that fails is printed. REMSH_SIM_SEED=N runs that one alone and prints all that happens; REMSH_SIM_SEEDS=N
// runs so many instead of 200.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

namespace remsh::sim {

inline std::optional<std::uint64_t> number_of(const char* variable) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? std::nullopt : std::optional<std::uint64_t>(std::strtoull(text, nullptr, 10));
}

struct SeedsRun {
  std::uint64_t count = 0;
  std::size_t failed = 0;
};

/// Calls `run` with each seed, and whether all that happens is to be printed; it returns what went wrong, or "". Ends
/// after the third that fails.
template <class Run>
SeedsRun run_seeds(const Run& run) {
  const auto one = number_of("REMSH_SIM_SEED");
  const std::uint64_t first = one.value_or(1);
  SeedsRun all{one ? 1 : number_of("REMSH_SIM_SEEDS").value_or(200), 0};
  for (std::uint64_t seed = first; seed < first + all.count && all.failed < 3; ++seed) {
    const std::string failure = run(seed, one.has_value());
    if (failure.empty()) continue;
    ++all.failed;
    FAIL_CHECK("seed " << seed << " fails; run it alone with REMSH_SIM_SEED=" << seed << '\n' << failure);
  }
  return all;
}

}  // namespace remsh::sim
