#include "sim/peer_run.hpp"

#include "base/operations_end.hpp"
#include "base/patience.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace remsh::sim {

using namespace rpc;
using namespace std::chrono_literals;
using Event = Call::Event;

namespace {

constexpr Duration slack = 1s;  // for what is late because callers wait within each other
constexpr std::size_t crowd_input = 64 * 1024;

/// So many callers with input at once that the queue of the connection is full.
Plan crowd(Chance& chance) {
  Plan plan = Plan::of(chance);
  plan.wire.capacity = std::size_t{64} * 1024;
  plan.wire.max_piece = plan.wire.capacity;
  plan.calls = 40;
  plan.calls_within = 1ms;
  plan.slow_one_in = 10;
  plan.leave_one_in = 10;
  plan.slave.engine.max_services = Engine::Options().max_services;
  plan.ends_after = 10s;
  return plan;
}

}  // namespace

/// What a lease waits for.
class PeerRun::Noted final : public OperationsEnd {
 public:
  explicit Noted(PeerRun& run) : run_(run) { ++run_.notes_; }
  void note() noexcept override {
    --run_.notes_;
    run_.check_note(range);
  }

 private:
  PeerRun& run_;
};

PeerRun::PeerRun(World& world)
    : world_(world),
      is_crowd_(world.chance.one_in(8)),
      plan_(is_crowd_ ? crowd(world.chance) : Plan::of(world.chance)),
      wire_(world, plan_.wire),
      slave_(world, wire_, slave, plan_.slave, *this),
      servant_(world, plan_, stories_, slave_),
      loop_(Loop::make_driven(world, [this] { step(); })),
      calls_left_(plan_.calls) {
  peer_ = Peer::start(std::make_unique<WireTransport>(
                          world, wire_, master, [this] { step(); }, transport_),
                      loop_, options_of_peer(), {}, plan_.slave.compresses);
  for (unsigned i = 0; i < plan_.calls; ++i) {
    world.after(world.chance.up_to(plan_.calls_within), [this] { make_call(); });
  }
  if (plan_.ending == Plan::Ending::cut) {
    wire_.cut_at(plan_.ends_side, world.chance.size(std::size_t{512} * 1024),
                 static_cast<Wire::Cut>(world.chance.below(3)));
    world.after(plan_.ends_after, [this] { wire_.cut(); });
  } else if (plan_.ending == Plan::Ending::early_goodbye) {
    world.after(plan_.ends_after, [this] { plan_.drains ? begin_to_drain() : close(plan_.ends_side, "enough"); });
  }
  run_loop();
}

Peer::Options PeerRun::options_of_peer() {
  Peer::Options options;
  options.engine = plan_.master.engine;
  options.session = plan_.master.session;
  options.on_cut = [this](Peer&) {
    ++cuts_;
    ++ways_.cuts;
    decide_on_cut();
  };
  options.on_draining = [this](Peer&) { ++drains_told_; };
  options.on_end = [this](Peer& peer) {
    ++ends_;
    world_.note("the master: " + peer.ended()->message);
  };
  return options;
}

void PeerRun::run() {
  Quiet quiet;
  while (!peer_->ended() || !slave_.session.is_over()) {
    step();
    check();
    let_go_when_idle();
    if (plan_.ending != Plan::Ending::quiet_goodbye || end_begins_) continue;
    if (quiet.is_long_enough(is_idle(), world_.now())) close(plan_.ends_side, "all is done");
  }
  while (world_.step()) {  // users who are slow, and bytes that come too late
    ++steps_;
    run_loop();
  }
  check_all_is_over();
}

/// What happens next, whoever waits for it.
void PeerRun::step() {
  world_.expect(world_.step(), "nothing will ever happen again, and somebody waits");
  ++steps_;
  world_.expect(world_.now() < World::begin + patience, "stalled: ", summary());
  run_loop();
}

/// The io thread: it gets its turn after everything that happens.
void PeerRun::run_loop() {
  if (std::exchange(is_in_loop_, true)) return;
  const TimePoint next = loop_->run_due();
  is_in_loop_ = false;
  if (next == TimePoint::max() || (alarm_ > world_.now() && next >= alarm_)) return;
  alarm_ = next;
  world_.at(next, [] {});
}

std::string PeerRun::summary() const {
  std::string text = std::to_string(callers_.size()) + " callers, " + std::to_string(waiting_) + " wait";
  for (const Caller& caller : callers_) {
    if (!caller.call) continue;
    text += "\n  call " + std::to_string(caller.id) + (caller.waits ? " waits" : " polls") +
            (caller.is_slow_now ? ", is slow" : "") +
            (caller.story != nullptr && caller.story->service ? ", served" : "") +
            (caller.story != nullptr ? ", input left " + std::to_string(caller.story->input_left) : "");
  }
  return text;
}

// --- callers

void PeerRun::make_call() {
  --calls_left_;
  Chance& chance = world_.chance;
  const bool has_streams = !chance.one_in(3);
  Box arguments;
  if (chance.one_in(3)) arguments.set("long", Bytes(chance.size(max_box), 'a'));
  Caller& caller = callers_.emplace_back();
  caller.waits = chance.one_in(2);
  Patience options;
  if (chance.one_in(4)) options.deadline = caller.deadline = world_.now() + chance.up_to(chance.one_in(2) ? 5s : 100ms);
  if (chance.one_in(4)) {
    options.stop = caller.stop.get_token();
    caller.may_be_stopped = true;
    world_.after(chance.up_to(chance.one_in(2) ? 5s : 100ms), [&caller] { caller.stop.request_stop(); });
  }
  caller.call = std::make_unique<Call>(peer_, "work", arguments,
                                       has_streams ? Call::Kind::streaming : Call::Kind::plain, options, &caller.id);
  if (caller.id != 0) {
    caller.story = &stories_.try_emplace(caller.id, caller.id, has_streams).first->second;
    world_.note("call " + std::to_string(caller.id) + (has_streams ? " with streams" : ""));
    if (has_streams) caller.story->input_left = is_crowd_ ? crowd_input : chance.size(plan_.most_data);
    if (chance.one_in(plan_.slow_one_in)) caller.story->caller_pause = chance.up_to(plan_.most_pause);
    if (chance.one_in(plan_.leave_one_in)) {
      world_.after(chance.up_to(chance.one_in(2) ? 5s : 100ms), [this, &caller] { leave(caller); });
    }
  }
  if (chance.one_in(3)) ask_for_note();
  if (chance.one_in(2)) return drive(caller);
  caller.call->suspend();
  drive_after(chance.up_to(20ms), caller);
}

void PeerRun::drive_after(Duration wait, Caller& caller) {
  world_.after(wait, [this, &caller] { drive(caller); });
}

/// What the thread of a caller does, or one that polls for it, until there is nothing to do for it.
void PeerRun::drive(Caller& caller) {
  if (!caller.call || caller.is_driven || caller.is_slow_now) return;
  caller.is_driven = true;
  while (go_on(caller)) {
  }
  caller.is_driven = false;
  if (caller.leaves || caller.is_done) caller.call.reset();
}

bool PeerRun::go_on(Caller& caller) {
  if (caller.leaves) return false;
  if (caller.story != nullptr && caller.story->has_streams && !caller.story->input_ended &&
      caller.story->input_left == 0) {
    caller.call->end_input();
    caller.story->input_ended = true;
  }
  const auto event = next_event(caller);
  if (!event || caller.leaves) return false;
  switch (*event) {
    case Event::chunk: return take_chunk(caller);
    case Event::room: send(caller); return true;
    case Event::answered: end(caller, &caller.call->answer(), nullptr); return false;
    case Event::failed: end(caller, nullptr, &caller.call->failure()); return false;
  }
  return false;
}

/// Null: it is suspended, and will be driven again.
std::optional<Event> PeerRun::next_event(Caller& caller) {
  const bool wants_room = caller.story != nullptr && caller.story->input_left > 0;
  if (!caller.waits || waiting_ == most_waiting) {
    ++ways_.polled;
    return caller.call->poll(wants_room, [this, &caller] { drive_after(Duration::zero(), caller); });
  }
  const TimePoint until = world_.now() + 1us + world_.chance.up_to(50ms);
  world_.at(until, [] {});
  if (caller.deadline < until) world_.at(caller.deadline, [] {});
  ++(waiting_ > 0 ? ways_.waited_within : ways_.waited);
  ++waiting_;
  const auto event = caller.call->next_until(wants_room, until);
  --waiting_;
  if (!event) drive_after(world_.chance.up_to(50ms), caller);
  return event;
}

bool PeerRun::take_chunk(Caller& caller) {
  const Chunk& chunk = caller.call->chunk();
  Story& story = *caller.story;
  world_.expect(story.came[static_cast<std::size_t>(chunk.stream)].take(chunk.bytes()), "call ", story.id,
                ": wrong bytes of ", std::string(to_string(chunk.stream)));
  moved_ += chunk.bytes().size();
  if (story.caller_pause == Duration::zero()) return true;
  caller.call->suspend();
  caller.is_slow_now = true;
  world_.after(story.caller_pause, [this, &caller] {
    caller.is_slow_now = false;
    drive(caller);
  });
  return false;
}

void PeerRun::send(Caller& caller) {
  Story& story = *caller.story;
  const std::size_t most = std::min(caller.call->room(), story.input_left);
  const std::size_t count = world_.chance.one_in(2) ? most : 1 + world_.chance.size(most - 1);
  caller.call->send(story.sent[0].next(count), count);
  story.input_left -= count;
}

void PeerRun::end(Caller& caller, const Box* results, const Failure* failure) {
  caller.is_done = true;
  const std::string name = "call " + std::to_string(caller.id);
  if (failure != nullptr && failure->code == Errc::timeout && caller.deadline <= world_.now()) {
    ++ways_.deadlines;
    const Duration pause = caller.story != nullptr ? caller.story->caller_pause : Duration::zero();
    world_.expect(world_.now() <= caller.deadline + pause + slack, name, " was told late of its deadline");
    return;
  }
  if (failure != nullptr && failure->code == Errc::cancelled && caller.stop.stop_requested()) {
    world_.expect(caller.may_be_stopped, name, " was stopped by nobody");
    ++ways_.stops;
    return;
  }
  const auto why = peer_->closed();
  if (caller.story == nullptr) {
    const bool is_closed = why && failure != nullptr && failure->message == why->message;
    world_.expect(failure != nullptr && (failure->code == Errc::busy || is_closed),
                  "a call is refused: ", failure != nullptr ? failure->message : "it was answered");
    return;
  }
  ++caller.story->outcomes;
  const auto over = peer_->ended();
  expect_outcome(world_, *caller.story, results, failure, over ? &*over : nullptr);
}

void PeerRun::leave(Caller& caller) {
  if (!caller.call) return;
  world_.note("the caller of " + std::to_string(caller.id) + " leaves");
  caller.leaves = true;
  if (!caller.is_driven) caller.call.reset();
}

// --- the end

/// Whoever owns a session that is cut takes his time.
void PeerRun::decide_on_cut() {
  world_.after(world_.chance.up_to(2s), [this] {
    if (world_.chance.one_in(4)) {
      peer_->close("it is cut anyway");
    } else {
      peer_->give_up();
    }
  });
}

void PeerRun::close(std::size_t side, const std::string& words) {
  if (!end_begins_) end_begins_ = world_.now();
  if (side == slave) return slave_.close(words);
  world_.note("the master says goodbye");
  peer_->close(words);
}

void PeerRun::begin_to_drain() {
  ++ways_.drains;
  slave_.drain(plan_.drains_within);
  world_.after(plan_.drains_within, [this] {
    has_timed_out_ = true;
    close(slave, "the time is over");
  });
}

/// As the master does with a slave that has announced its end.
void PeerRun::let_go_when_idle() {
  if (drains_told_ > 0 && !peer_->closed() && is_nothing_under_way()) close(master, "released");
}

/// A lease of some of the last calls is released.
void PeerRun::ask_for_note() {
  auto noted = std::make_unique<Noted>(*this);
  noted->range.end = peer_->next_call();
  noted->range.first = noted->range.end - std::min<std::uint64_t>(noted->range.end, 1 + world_.chance.below(4));
  peer_->notify_when_over(std::move(noted));
}

// --- invariants

void PeerRun::check() {
  world_.expect(broken_.empty(), broken_);
  world_.expect(!transport_.is_misused, "two were within the transport at once");
  const auto ended = peer_->ended();
  if (ended) {
    world_.expect(ended->reason != DisconnectReason::silent || wire_.is_cut(),
                  "the master gives up a slave that is there");
    world_.expect(ended->reason != DisconnectReason::misbehaved, "the master accuses the slave: ", ended->message);
    return;
  }
  if (peer_->is_cut()) return;
  const Duration late = plan_.wire.max_delay + slack;
  if (end_begins_) {
    world_.expect(world_.now() <= *end_begins_ + late, "the master does not know of the goodbye");
  }
  if (!wire_.is_cut()) return;
  Duration bound = late;
  if (wire_.cut_how() != Wire::Cut::loud) {
    const Session::Options& ours = plan_.master.session;
    const Session::Options& theirs = plan_.slave.session;
    bound = std::max(ours.keepalive + ours.patience, theirs.keepalive + theirs.patience) + 2 * late;
  }
  world_.expect(world_.now() <= wire_.cut_time() + bound, "the master does not know of the cut");
}

/// A lease ends when nothing runs at the slave that was begun under it, or the session is over; a cut ends none.
void PeerRun::check_note(const OperationRange& range) {
  if (peer_->ended()) return;
  for (const auto& [id, story] : stories_) {
    if (range.contains(id) && story.served && !story.answered && broken_.empty()) {
      broken_ = "a lease ends while call " + std::to_string(id) + " is served";
    }
  }
}

void PeerRun::check_all_is_over() {
  check();
  for (const Caller& caller : callers_) {
    world_.expect(!caller.call, "call ", caller.id.load(), " still has its caller: ", summary());
  }
  for (const auto& [id, story] : stories_) {
    world_.expect(!story.service, "call ", id, " is still served after the end");
  }
  world_.expect(ends_ == 1, "the end was told ", ends_, " times");
  world_.expect(cuts_ <= 1, "the cut was told ", cuts_, " times");
  if (ways_.drains > 0) {
    const DisconnectReason reason = peer_->ended()->reason;
    const bool may_be_lost = has_timed_out_ && reason == DisconnectReason::cut;  // the connection was full
    world_.expect(drains_told_ == 1 || (may_be_lost && drains_told_ == 0), "that the slave is draining was told ",
                  drains_told_, " times");
    world_.expect(reason == DisconnectReason::released || reason == DisconnectReason::closed_here || may_be_lost,
                  "the slave was draining, and the master says that it is ", std::string(to_string(reason)));
  } else {
    world_.expect(drains_told_ == 0, "the slave was not draining, and that was told ", drains_told_, " times");
  }
  world_.expect(notes_ == 0, notes_, " leases have not ended");
  world_.expect(transport_.is_destroyed, "the transport is kept after the end");
  peer_->wait_until_left();  // at once
}

bool PeerRun::is_idle() const { return calls_left_ == 0 && is_nothing_under_way(); }

bool PeerRun::is_nothing_under_way() const {
  return slave_.engine.open_services() == 0 &&
         std::all_of(callers_.begin(), callers_.end(), [](const Caller& caller) { return !caller.call; });
}

}  // namespace remsh::sim
