#include "sim/pair.hpp"

#include "rpc/message.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace remsh::sim {

using namespace rpc;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t master = 0;
constexpr std::size_t slave = 1;
constexpr Duration quiet_time = 45s;         // in which nothing happens but pings
constexpr Duration patience = 6h;            // of the simulator: a run that takes longer has stalled
constexpr std::size_t max_box = 256 * 1024;  // of arguments and results here

Failure served_badly() { return {Errc::remote_failure, "no", 0}; }

}  // namespace

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
  plan.calls = chance.one_in(10) ? 0 : static_cast<unsigned>(chance.between(1, 24));
  plan.most_data = std::min(std::size_t{512} * 1024 >> chance.below(8), plan.wire.capacity * 64);
  plan.most_pause = chance.one_in(3) ? Duration(chance.up_to(3s)) : Duration(chance.up_to(30ms));
  plan.slow_one_in = static_cast<unsigned>(chance.between(1, 4));
  plan.leave_one_in = static_cast<unsigned>(chance.between(2, 8));
  plan.calls_within = chance.one_in(2) ? Duration(chance.up_to(30s)) : Duration(chance.up_to(500ms));
  plan.ending = chance.one_in(2) ? Ending::cut : chance.one_in(2) ? Ending::quiet_goodbye : Ending::early_goodbye;
  plan.ends_after = 1ms + chance.up_to(chance.one_in(2) ? 40s : 1s);
  plan.ends_side = static_cast<std::size_t>(chance.below(2));
  return plan;
}

Story::Story(std::uint64_t number, bool streams) : id(number), has_streams(streams) {
  for (const StreamName stream : {StreamName::in, StreamName::out, StreamName::err}) {
    const auto at = static_cast<std::size_t>(stream);
    sent[at] = came[at] = Content(number, stream);
  }
}

Pair::Pair(World& world)
    : world_(world),
      plan_(Plan::of(world.chance)),
      wire_(world, plan_.wire),
      master_(world, wire_, master, plan_.master, *this),
      slave_(world, wire_, slave, plan_.slave, *this),
      calls_left_(plan_.calls) {
  for (unsigned i = 0; i < plan_.calls; ++i) {
    world.after(world.chance.up_to(plan_.calls_within), [this] { make_call(); });
  }
  if (plan_.ending == Plan::Ending::cut) {
    const auto how = static_cast<Wire::Cut>(world.chance.below(3));
    wire_.cut_at(plan_.ends_side, world.chance.size(std::size_t{512} * 1024), how);
    world.after(plan_.ends_after, [this] { wire_.cut(); });
  } else if (plan_.ending == Plan::Ending::early_goodbye) {
    world.after(plan_.ends_after, [this] {
      end_begins_ = world_.now();
      (plan_.ends_side == master ? master_ : slave_).close("enough");
    });
  }
}

void Pair::run() {
  std::optional<TimePoint> idle_since;
  while (!master_.session.is_over() || !slave_.session.is_over()) {
    world_.expect(world_.step(), "nothing will ever happen again");
    check();
    world_.expect(world_.now() < TimePoint(1h) + patience, "stalled: ", summary());
    if (plan_.ending != Plan::Ending::quiet_goodbye || end_begins_) continue;
    if (!is_idle()) {
      idle_since.reset();
    } else if (!idle_since) {
      idle_since = world_.now();
    } else if (world_.now() - *idle_since >= quiet_time) {
      end_begins_ = world_.now();
      (plan_.ends_side == master ? master_ : slave_).close("all is done");
    }
  }
  while (world_.step()) check();  // users who are slow, and bytes that come too late
  check_over(master_);
  check_over(slave_);
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
            std::to_string(story.output_left[1]) + " and " + std::to_string(story.output_left[2]);
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
  take_chunks(story, false);
  if (story.call->state != OpenCall::State::settled || story.call->has_chunk() || story.chunk) return;
  expect_outcome(story);
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
    master_.engine.send_input(*story.call, story.sent[0].next(count), count);
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
void Pair::take_chunks(Story& story, bool at_once) {
  if (story.call == nullptr) return;
  while (story.call->has_chunk() && (at_once || !story.caller_waits)) {
    take_one(story);
    if (story.caller_pause == Duration::zero() || at_once) {
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

void Pair::expect_outcome(const Story& story) {
  const std::string name = "call " + std::to_string(story.id);
  world_.expect(story.outcomes == 1, name, " has ended ", story.outcomes, " times");
  const auto* const failure = std::get_if<Failure>(&story.call->outcome);
  if (failure != nullptr && master_.session.over() != nullptr && failure->message == master_.session.over()->message) {
    return;  // of the session
  }
  if (!story.served) {
    world_.expect(failure != nullptr && failure->code == Errc::busy, name, " was answered and never served");
    return;
  }
  world_.expect(story.answered, name, " has ended without an answer");
  world_.expect((failure != nullptr) == story.failed, name, " has another outcome than its server gave");
  if (failure == nullptr) world_.expect(std::get<Box>(story.call->outcome) == story.results, name, ": wrong results");
  for (const std::size_t stream : {1U, 2U}) {
    world_.expect(story.came[stream].bytes() == story.sent[stream].bytes(), name, ": output is missing");
  }
}

// --- the server

Story& Pair::story_of(const OpenService& service) { return stories_.at(parse_tag(service.tag).value()); }

void Pair::on_service(std::shared_ptr<OpenService> service) {
  Story& story = story_of(*service);
  Chance& chance = world_.chance;
  world_.expect(!std::exchange(story.served, true), "call ", story.id, " is served twice");
  story.service = std::move(service);
  if (story.has_streams) {
    for (const std::size_t stream : {1U, 2U}) {
      story.output_left[stream] = chance.one_in(4) ? plan_.most_data : chance.size(plan_.most_data);
    }
    story.reads_to_end = chance.one_in(2);
    story.heeds_cancel = chance.one_in(2);
  }
  if (chance.one_in(plan_.slow_one_in)) story.server_pause = chance.up_to(plan_.most_pause);
  world_.after(chance.up_to(plan_.most_pause), [this, &story] { drive_server(story); });
}

void Pair::on_service_changed(OpenService& service) {
  Story& story = story_of(service);
  world_.soon([this, &story] { drive_server(story); });
}

void Pair::drive_server(Story& story) {
  if (!story.service) return;
  if (story.service->answered) {  // the session is over
    story.service.reset();
    return;
  }
  read_input(story);
  const bool stops = story.service->cancelled && story.heeds_cancel;
  if (!stops && !story.is_answering) produce(story);
  const bool is_done = story.output_left[1] + story.output_left[2] == 0 &&
                       (!story.reads_to_end || story.has_read_end || story.service->cancelled);
  if ((!is_done && !stops) || std::exchange(story.is_answering, true)) return;
  world_.after(world_.chance.up_to(plan_.most_pause), [this, &story] { answer(story); });
}

void Pair::read_input(Story& story) {
  while (!story.server_waits && !story.service->in.empty()) {
    const Chunk chunk = story.service->in.take();
    world_.expect(!story.has_read_end, "input behind its end");
    world_.expect(story.came[0].take(chunk.bytes()), "call ", story.id, ": wrong bytes of input");
    moved_ += chunk.bytes().size();
    story.has_read_end = chunk.last;
    if (chunk.last) world_.expect(story.came[0].bytes() == story.sent[0].bytes(), "input is missing at its end");
    slave_.engine.consumed(*story.service, chunk);
    slave_.pump_soon();
    if (story.server_pause == Duration::zero()) continue;
    story.server_waits = true;
    world_.after(story.server_pause, [this, &story] {
      story.server_waits = false;
      drive_server(story);
    });
  }
}

void Pair::produce(Story& story) {
  for (const StreamName stream : {StreamName::out, StreamName::err}) {
    const auto at = static_cast<std::size_t>(stream);
    const SendCredit& credit = stream == StreamName::err ? story.service->err : story.service->out;
    while (story.output_left[at] > 0) {
      const std::size_t room = slave_.room(credit.room());
      if (room == 0) break;
      const std::size_t most = std::min(room, story.output_left[at]);
      const std::size_t count = world_.chance.one_in(2) ? most : 1 + world_.chance.size(most - 1);
      slave_.engine.send_output(*story.service, stream, story.sent[at].next(count), count, std::nullopt);
      story.output_left[at] -= count;
      slave_.pump_soon();
    }
  }
}

void Pair::answer(Story& story) {
  if (!story.service || story.service->answered) return;
  story.answered = true;
  if (world_.chance.one_in(4)) {
    story.failed = true;
    slave_.engine.fail(*story.service, served_badly());
  } else {
    if (world_.chance.one_in(3)) story.results.set("result", Bytes(world_.chance.size(max_box), 'r'));
    slave_.engine.answer(*story.service, story.results);
  }
  story.service.reset();
  slave_.pump_soon();
}

// --- both

void Pair::on_room(std::size_t side) {
  for (auto& [id, story] : stories_) {
    if (side == master && story.call != nullptr && story.input_left > 0) feed(story);
    if (side == slave) drive_server(story);
  }
}

OpenCall* Pair::reader(std::size_t side) {
  if (side != master || stories_.empty() || world_.chance.one_in(2)) return nullptr;
  auto at = stories_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(world_.chance.below(stories_.size())));
  Story& story = at->second;
  return story.call != nullptr && !story.caller_waits && !story.call->has_chunk() ? story.call : nullptr;
}

void Pair::has_read(std::size_t, OpenCall* reader) {
  if (reader != nullptr) take_chunks(stories_.at(reader->id), true);
}

void Pair::on_over(std::size_t side) {
  check_over(side == master ? master_ : slave_);
  for (auto& [id, story] : stories_) {
    world_.soon([this, &one = story] { drive_caller(one); });
  }
}

}  // namespace remsh::sim
