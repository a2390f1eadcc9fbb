#include "sim/pair.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace remsh::sim {

using namespace rpc;
using namespace std::chrono_literals;

Pair::Pair(World& world)
    : world_(world),
      plan_(Plan::of(world.chance)),
      wire_(world, plan_.wire),
      master_(world, wire_, master, plan_.master, *this),
      slave_(world, wire_, slave, plan_.slave, *this),
      servant_(world, plan_, stories_, slave_),
      calls_left_(plan_.calls) {
  for (unsigned i = 0; i < plan_.calls; ++i) {
    world.after(world.chance.up_to(plan_.calls_within), [this] { make_call(); });
  }
  if (plan_.ending == Plan::Ending::cut) {
    const auto how = static_cast<Wire::Cut>(world.chance.below(3));
    wire_.cut_at(plan_.ends_side, world.chance.size(std::size_t{512} * 1024), how);
    world.after(plan_.ends_after, [this] { wire_.cut(); });
  } else if (plan_.ending == Plan::Ending::early_goodbye) {
    world.after(plan_.ends_after, [this] { plan_.drains ? begin_to_drain() : close(plan_.ends_side, "enough"); });
  }
}

void Pair::run() {
  Quiet quiet;
  while (!master_.session.is_over() || !slave_.session.is_over()) {
    world_.expect(world_.step(), "nothing will ever happen again");
    check();
    world_.expect(world_.now() < TimePoint(1h) + patience, "stalled: ", summary());
    let_go_when_idle();
    if (plan_.ending != Plan::Ending::quiet_goodbye || end_begins_) continue;
    if (quiet.is_long_enough(is_idle(), world_.now())) close(plan_.ends_side, "all is done");
  }
  while (world_.step()) check();  // users who are slow, and bytes that come too late
  check_over(master_);
  check_over(slave_);
  check_release();
  for (const auto& [id, story] : stories_) {
    world_.expect(story.outcomes == (story.call == nullptr && story.outcomes == 0 ? 0 : 1), "call ", id, " has ended ",
                  story.outcomes, " times");
    world_.expect(story.call == nullptr, "call ", id, " still has its caller");
  }
}

std::string Pair::summary() const {
  std::string text = std::to_string(stories_.size()) + " calls, " + std::to_string(refused_) + " refused";
  for (const auto& [id, story] : stories_) {
    if (story.call == nullptr && !story.service) continue;
    text += "\n  call " + std::to_string(id) + (story.call != nullptr ? ": its caller waits" : ": left") +
            (story.service ? ", served" : "") + ", input left " + std::to_string(story.input_left) + ", output left " +
            std::to_string(story.all_output_left());
  }
  return text;
}

// --- callers

void Pair::make_call() {
  --calls_left_;
  if (master_.session.closed() != nullptr) return;
  Chance& chance = world_.chance;
  const bool has_streams = !chance.one_in(3);
  Box arguments;
  if (chance.one_in(3)) arguments.set("long", Bytes(chance.size(max_box), 'a'));
  const auto made = master_.engine.call("work", arguments, has_streams, this);
  if (!made) {
    const bool may_refuse = master_.engine.abandoned_calls() >= plan_.master.engine.max_abandoned;
    world_.expect(made.failure().code == Errc::busy && may_refuse, "a call is refused: ", made.failure().message);
    ++refused_;
    return;
  }
  Story& story = stories_.try_emplace((*made)->id, (*made)->id, has_streams).first->second;
  world_.note("call " + std::to_string(story.id) + (has_streams ? " with streams" : ""));
  story.call = *made;
  if (has_streams) story.input_left = chance.size(plan_.most_data);
  if (chance.one_in(plan_.slow_one_in)) story.caller_pause = chance.up_to(plan_.most_pause);
  if (chance.one_in(plan_.leave_one_in)) {
    world_.after(chance.up_to(chance.one_in(2) ? 5s : 100ms), [this, &story] { leave(story); });
  }
  master_.pump_soon();
  drive_caller(story);
}

void Pair::on_call_changed(OpenCall& call) {
  Story& story = stories_.at(call.id);
  if (call.state == OpenCall::State::settled) ++story.outcomes;
  world_.soon([this, &story] { drive_caller(story); });
}

/// What a caller does whenever something may have happened for it.
void Pair::drive_caller(Story& story) {
  if (story.call == nullptr) return;
  feed(story);
  take_chunks(story);
  if (story.call->state != OpenCall::State::settled || story.call->has_chunk() || story.chunk) return;
  const auto& outcome = story.call->outcome;
  expect_outcome(world_, story, std::get_if<Box>(&outcome), std::get_if<Failure>(&outcome), master_.session.over());
  leave(story);
}

void Pair::feed(Story& story) {
  if (!story.has_streams || story.call->state != OpenCall::State::open || story.input_ended) return;
  bool has_sent = false;
  while (story.input_left > 0 && story.call->is_sent()) {
    const std::size_t room = master_.room(story.call->streams->in.room());
    if (room == 0) break;
    const std::size_t most = std::min(room, story.input_left);
    const std::size_t count = world_.chance.one_in(2) ? most : 1 + world_.chance.size(most - 1);
    master_.engine.send_input(*story.call, story.sent[0].next_data(count, master_.engine.compresses()));
    story.input_left -= count;
    has_sent = true;
  }
  if (story.input_left == 0) {
    master_.engine.end_input(*story.call);
    story.input_ended = has_sent = true;
  }
  if (has_sent) master_.pump_soon();
}

/// Chunks in their order, one at a time for a caller that is slow.
void Pair::take_chunks(Story& story) {
  if (story.call == nullptr) return;
  while (story.call->has_chunk() && !story.caller_waits) {
    take_one(story);
    if (story.caller_pause == Duration::zero()) {
      use_up(story);
    } else if (!std::exchange(story.caller_waits, true)) {
      world_.after(story.caller_pause, [this, &story] {
        story.caller_waits = false;
        use_up(story);
        drive_caller(story);
      });
    }
  }
}

void Pair::take_one(Story& story) {
  if (story.chunk) use_up(story);
  story.chunk = story.call->take_chunk();
  const auto stream = static_cast<std::size_t>(story.chunk->stream);
  world_.expect(story.came[stream].take(story.chunk->bytes()), "call ", story.id, ": wrong bytes of ",
                std::string(to_string(story.chunk->stream)));
  moved_ += story.chunk->bytes().size();
}

void Pair::use_up(Story& story) {
  if (!story.chunk) return;
  if (story.call != nullptr) {
    master_.engine.consumed(*story.call, *story.chunk);
    master_.pump_soon();
  }
  story.chunk.reset();
}

void Pair::leave(Story& story) {
  if (story.call == nullptr) return;
  use_up(story);
  if (story.call->state == OpenCall::State::open) world_.note("the caller of " + std::to_string(story.id) + " leaves");
  master_.engine.leave(*std::exchange(story.call, nullptr));
  master_.pump_soon();
}

// --- the end

void Pair::close(std::size_t side, const std::string& words) {
  if (!end_begins_) end_begins_ = world_.now();
  (side == master ? master_ : slave_).close(words);
}

void Pair::begin_to_drain() {
  has_drained_ = true;
  slave_.drain(plan_.drains_within);
  world_.after(plan_.drains_within, [this] {
    has_timed_out_ = true;
    close(slave, "the time is over");
  });
}

/// As the master does with a slave that has announced its end.
void Pair::let_go_when_idle() {
  if (master_.session.draining() == nullptr || master_.session.closed() != nullptr) return;
  if (is_nothing_under_way()) close(master, "released");
}

// --- both

void Pair::on_service(std::shared_ptr<OpenService> service) { servant_.on_service(std::move(service)); }
void Pair::on_service_changed(OpenService& service) { servant_.on_service_changed(service); }

void Pair::on_room(std::size_t side) {
  if (side == slave) return servant_.on_room();
  for (auto& [id, story] : stories_) {
    if (story.call != nullptr && story.input_left > 0) feed(story);
  }
}

void Pair::on_over(std::size_t side) {
  check_over(side == master ? master_ : slave_);
  for (auto& [id, story] : stories_) {
    world_.soon([this, &one = story] { drive_caller(one); });
  }
}

}  // namespace remsh::sim
