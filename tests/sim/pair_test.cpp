// Two sides in virtual time, whose users, wire and end are drawn from a seed: whatever happens, the invariants hold.
//
// A seed that fails is printed. REMSH_SIM_SEED=N runs that one alone and prints all that happens; REMSH_SIM_SEEDS=N
// runs so many instead of 200.
#include "sim/pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

using namespace remsh::sim;

namespace {

std::optional<std::uint64_t> number_of(const char* variable) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? std::nullopt : std::optional<std::uint64_t>(std::strtoull(text, nullptr, 10));
}

/// What went wrong, or "".
struct Outcome {
  std::string failure;
  std::size_t calls = 0;
  std::uint64_t moved = 0;
  std::uint64_t steps = 0;
  Plan::Ending ending = Plan::Ending::cut;
};

Outcome run(std::uint64_t seed, bool is_loud) {
  World world(seed, is_loud);
  Outcome outcome;
  try {
    Pair pair(world);
    outcome.ending = pair.plan().ending;
    try {
      pair.run();
    } catch (const Broken& broken) {
      outcome.failure = std::string(broken.what()) + "\n" + pair.summary() + "\n" + world.history();
    }
    outcome.calls = pair.calls();
    outcome.moved = pair.moved();
    outcome.steps = pair.steps();
  } catch (const Broken& broken) {
    outcome.failure = broken.what();
  }
  return outcome;
}

}  // namespace

TEST_CASE("whatever two sides, their users and the wire do, the invariants hold") {
  const auto one = number_of("REMSH_SIM_SEED");
  const std::uint64_t first = one.value_or(1);
  const std::uint64_t count = one ? 1 : number_of("REMSH_SIM_SEEDS").value_or(200);
  std::size_t failed = 0;
  Outcome all;
  std::array<std::uint64_t, 3> endings{};
  for (std::uint64_t seed = first; seed < first + count && failed < 3; ++seed) {
    const Outcome outcome = run(seed, one.has_value());
    if (!outcome.failure.empty()) {
      ++failed;
      FAIL_CHECK("seed " << seed << " fails; run it alone with REMSH_SIM_SEED=" << seed << '\n' << outcome.failure);
    }
    all.calls += outcome.calls;
    all.moved += outcome.moved;
    all.steps += outcome.steps;
    ++endings[static_cast<std::size_t>(outcome.ending)];
  }
  MESSAGE(count, " seeds: ", all.calls, " calls, ", all.moved, " bytes of streams, ", all.steps, " steps; ", endings[2],
          " cuts, ", endings[0] + endings[1], " goodbyes");
  if (count < 200 || failed > 0) return;
  CHECK(all.calls > 10 * count / 2);  // the seeds do something
  CHECK(all.moved > 10'000 * count);
  for (const std::uint64_t each : endings) CHECK(each > count / 10);
}

TEST_CASE("a seed is the same run each time") {
  for (const std::uint64_t seed : {3U, 7U, 11U}) {
    const Outcome first = run(seed, false);
    const Outcome second = run(seed, false);
    CHECK(first.steps == second.steps);
    CHECK(first.moved == second.moved);
    CHECK(first.failure == second.failure);
  }
}
