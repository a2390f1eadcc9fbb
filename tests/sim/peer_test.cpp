// A Peer and its callers in virtual time, against a slave, users and a wire drawn from a seed: whatever happens, each
// call ends once and rightly, nobody waits for ever, and nothing is left.
//
// tests/sim/seeds.hpp says how to run one seed alone.
#include "sim/peer_run.hpp"
#include "sim/seeds.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

using namespace remsh::sim;

namespace {

struct PeerOutcome {
  std::string failure;
  std::size_t calls = 0;
  std::uint64_t moved = 0;
  std::uint64_t steps = 0;
  PeerRun::Ways ways;
};

PeerOutcome run_peer(std::uint64_t seed, bool is_loud) {
  auto world = std::make_unique<World>(seed, is_loud);
  auto peer_run = std::make_unique<PeerRun>(*world);
  PeerOutcome outcome;
  try {
    peer_run->run();
  } catch (const Broken& broken) {
    outcome.failure = std::string(broken.what()) + "\n" + peer_run->summary() + "\n" + world->history();
  }
  outcome.calls = peer_run->calls();
  outcome.moved = peer_run->moved();
  outcome.steps = peer_run->steps();
  outcome.ways = peer_run->ways();
  if (!outcome.failure.empty()) {  // something may still be within the peer
    static_cast<void>(peer_run.release());
    static_cast<void>(world.release());
  }
  return outcome;
}

}  // namespace

TEST_CASE("whatever happens to a peer, its calls end once and rightly, and nobody waits for ever") {
  PeerOutcome all;
  const auto [count, failed] = run_seeds([&](std::uint64_t seed, bool is_loud) {
    const PeerOutcome outcome = run_peer(seed, is_loud);
    all.calls += outcome.calls;
    all.moved += outcome.moved;
    all.steps += outcome.steps;
    all.ways.polled += outcome.ways.polled;
    all.ways.waited += outcome.ways.waited;
    all.ways.waited_within += outcome.ways.waited_within;
    all.ways.deadlines += outcome.ways.deadlines;
    all.ways.stops += outcome.ways.stops;
    all.ways.cuts += outcome.ways.cuts;
    all.ways.drains += outcome.ways.drains;
    return outcome.failure;
  });
  MESSAGE(count, " seeds: ", all.calls, " calls, ", all.moved, " bytes of streams, ", all.steps, " steps; ",
          all.ways.polled, " polls, ", all.ways.waited, " waits, ", all.ways.waited_within, " within others; ",
          all.ways.deadlines, " deadlines, ", all.ways.stops, " stops, ", all.ways.cuts, " cuts, ", all.ways.drains,
          " drained");
  if (count < 200 || failed > 0) return;
  CHECK(all.calls > 4 * count);  // the seeds do something
  CHECK(all.moved > 10'000 * count);
  for (const std::size_t times : {all.ways.polled, all.ways.waited, all.ways.waited_within}) CHECK(times > 10 * count);
  for (const std::size_t times : {all.ways.deadlines, all.ways.stops, all.ways.cuts}) CHECK(times > count / 10);
  CHECK(all.ways.drains > count / 40);
}

TEST_CASE("a seed is the same run of a peer each time") {
  for (const std::uint64_t seed : {3U, 7U, 11U}) {
    const PeerOutcome first = run_peer(seed, false);
    const PeerOutcome second = run_peer(seed, false);
    CHECK(first.steps == second.steps);
    CHECK(first.moved == second.moved);
    CHECK(first.failure == second.failure);
  }
}
