// Two sides in virtual time, whose users, wire and end are drawn from a seed: whatever happens, the invariants hold.
//
// tests/sim/seeds.hpp says how to run one seed alone.
#include "sim/pair.hpp"
#include "sim/seeds.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>

using namespace remsh::sim;

namespace {

/// What went wrong, or "".
struct PairOutcome {
  std::string failure;
  std::size_t calls = 0;
  std::uint64_t moved = 0;
  std::uint64_t steps = 0;
  Plan::Ending ending = Plan::Ending::cut;
};

PairOutcome run_pair(std::uint64_t seed, bool is_loud) {
  World world(seed, is_loud);
  PairOutcome outcome;
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
  PairOutcome all;
  std::array<std::uint64_t, 3> endings{};
  const auto [count, failed] = run_seeds([&](std::uint64_t seed, bool is_loud) {
    const PairOutcome outcome = run_pair(seed, is_loud);
    all.calls += outcome.calls;
    all.moved += outcome.moved;
    all.steps += outcome.steps;
    ++endings[static_cast<std::size_t>(outcome.ending)];
    return outcome.failure;
  });
  MESSAGE(count, " seeds: ", all.calls, " calls, ", all.moved, " bytes of streams, ", all.steps, " steps; ", endings[2],
          " cuts, ", endings[0] + endings[1], " goodbyes");
  if (count < 200 || failed > 0) return;
  CHECK(all.calls > 10 * count / 2);  // the seeds do something
  CHECK(all.moved > 10'000 * count);
  for (const std::uint64_t each : endings) CHECK(each > count / 10);
}

TEST_CASE("a seed is the same run each time") {
  for (const std::uint64_t seed : {3U, 7U, 11U}) {
    const PairOutcome first = run_pair(seed, false);
    const PairOutcome second = run_pair(seed, false);
    CHECK(first.steps == second.steps);
    CHECK(first.moved == second.moved);
    CHECK(first.failure == second.failure);
  }
}
