#include "sim/story.hpp"

#include "rpc/message.hpp"

#include <algorithm>
#include <string>

namespace remsh::sim {

using namespace rpc;
using namespace std::chrono_literals;

Plan Plan::of(Chance& chance) {
  Plan plan;
  plan.wire.max_delay = chance.one_in(3) ? Duration(chance.up_to(2s)) : Duration(chance.up_to(20ms));
  plan.wire.capacity = 1 + (std::size_t{512} * 1024 >> chance.below(10));
  plan.wire.max_piece = chance.one_in(4) ? 1 + chance.below(2000) : std::size_t{256} * 1024;
  plan.slave.engine.serves = true;
  plan.slave.session.limits = call_limits;
  if (chance.one_in(3)) plan.slave.engine.max_services = 2;
  if (chance.one_in(3)) plan.master.engine.max_abandoned = 2;
  if (chance.one_in(3)) plan.master.engine.max_unsent = 64 * 1024;
  plan.master.session.keepalive = plan.slave.session.keepalive = 1s + chance.up_to(9s);  // as the welcome has it
  plan.master.compresses = plan.slave.compresses = chance.one_in(2);
  plan.calls = chance.one_in(10) ? 0 : static_cast<unsigned>(chance.between(1, 24));
  plan.most_data = std::min(std::size_t{512} * 1024 >> chance.below(8), plan.wire.capacity * 64);
  plan.most_pause = chance.one_in(3) ? Duration(chance.up_to(3s)) : Duration(chance.up_to(30ms));
  plan.slow_one_in = static_cast<unsigned>(chance.between(1, 4));
  plan.leave_one_in = static_cast<unsigned>(chance.between(2, 8));
  plan.calls_within = chance.one_in(2) ? Duration(chance.up_to(30s)) : Duration(chance.up_to(500ms));
  plan.ending = chance.one_in(2) ? Ending::cut : chance.one_in(2) ? Ending::quiet_goodbye : Ending::early_goodbye;
  plan.ends_after = 1ms + chance.up_to(chance.one_in(2) ? 40s : 1s);
  plan.ends_side = static_cast<std::size_t>(chance.below(2));
  plan.drains = plan.ending == Ending::early_goodbye && plan.ends_side == remsh::sim::slave && !chance.one_in(4);
  plan.drains_within = chance.one_in(4) ? Duration::zero() : chance.up_to(chance.one_in(2) ? 60s : 1s);
  return plan;
}

Story::Story(std::uint64_t number, bool streams) : id(number), has_streams(streams) {
  for (std::size_t at = 0; at < rpc::stream_count; ++at) {
    sent[at] = came[at] = Content(number, static_cast<StreamName>(at));
  }
}

void expect_outcome(const World& world, const Story& story, const Box* results, const Failure* failure,
                    const Failure* over) {
  const std::string name = "call " + std::to_string(story.id);
  world.expect(story.outcomes == 1, name, " has ended ", story.outcomes, " times");
  if (failure != nullptr && over != nullptr && failure->message == over->message) return;
  if (!story.served) {
    world.expect(failure != nullptr && failure->code == Errc::busy, name, " was answered and never served");
    return;
  }
  world.expect(story.answered, name, " has ended without an answer");
  world.expect((failure != nullptr) == story.failed, name, " has another outcome than its server gave");
  if (results != nullptr) world.expect(*results == story.results, name, ": wrong results");
  for (const StreamName stream : outputs) {
    const auto at = static_cast<std::size_t>(stream);
    world.expect(story.came[at].bytes() == story.sent[at].bytes(), name, ": output is missing");
  }
}

}  // namespace remsh::sim
