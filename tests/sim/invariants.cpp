// What must hold after each step of a simulated pair, whatever its users and its wire do.
#include "sim/pair.hpp"

#include <algorithm>
#include <utility>

namespace remsh::sim {

using namespace rpc;

namespace {
constexpr std::size_t most_of_a_box = 300 * 1024;  // of arguments and results here

std::uint64_t lent(const ReceiveStream& stream) { return stream.window().window() - stream_window; }
}  // namespace

void Pair::check() {
  ++steps_;
  check_side(master_, slave_);
  check_side(slave_, master_);
  const bool is_now_quiet = is_quiet();
  std::uint64_t lent_by_master = 0;
  std::uint64_t lent_by_slave = 0;
  for (const auto& [id, story] : stories_) {
    if (!story.has_streams) continue;
    const bool is_served = story.service && !story.service->answered;
    if (is_served) lent_by_slave += lent(story.service->in);
    const OpenCall* const call = master_.engine.find_call(id);  // also one whose caller has left
    if (call == nullptr || call->state == OpenCall::State::settled) continue;
    call->streams->for_each_output([&](StreamName, const ReceiveStream& stream) { lent_by_master += lent(stream); });
    if (is_served) check_credit(*call, *story.service, is_now_quiet);
  }
  world_.expect(lent_by_master + master_.engine.pool().free() == credit_pool,
                "the master has lost credit that it lent");
  world_.expect(lent_by_slave + slave_.engine.pool().free() == credit_pool || slave_.session.is_over(),
                "the slave has lost credit that it lent");
}

void Pair::check_side(const End& end, const End& other) {
  check_end_is_known(end);
  if (end.session.is_over()) return;
  const Session::Counts& came = end.session.received();
  const Session::Counts& sent = other.session.sent();
  world_.expect(came.boxes <= sent.boxes && came.bytes <= sent.bytes, end.name(), " has received what was not sent");
  if (is_quiet()) world_.expect(came == sent, end.name(), " has counted less than was sent, and nothing is under way");

  const std::size_t boxes = stories_.size() + 1;
  const auto pings = static_cast<std::size_t>((world_.now() - World::begin) / plan_.master.session.keepalive) + 1;
  world_.expect(end.session.data_bytes() <= End::max_queued_data + Block::size + boxes * most_of_a_box, end.name(),
                " queues too much data");
  const std::size_t most_boxes = &end == &master_ ? plan_.master.engine.max_unsent : Engine::Options().max_unsent;
  world_.expect(end.session.control_bytes() <= most_boxes + most_of_a_box, end.name(), " queues too many boxes");
  const auto has_caller = [](const auto& entry) { return entry.second.call != nullptr; };
  const auto callers = static_cast<std::size_t>(std::count_if(stories_.begin(), stories_.end(), has_caller));
  world_.expect(end.engine.open_calls() <= (&end == &master_ ? callers : 0) + end.engine.abandoned_calls() + pings,
                end.name(), " remembers calls that are over");
  world_.expect(end.engine.open_services() <= plan_.slave.engine.max_services, "the slave serves too much at once");
}

/// What a sender may send is never more than its receiver has granted, and the same when nothing is under way: else
/// credit was lost, and the stream will stop.
void Pair::check_credit(const OpenCall& call, OpenService& service, bool is_now_quiet) {
  const auto check_stream = [&](const SendCredit& sender, const ReceiveStream& receiver) {
    const std::uint64_t granted = receiver.window().granted();
    const std::string name = "call " + std::to_string(call.id);
    world_.expect(sender.credit() <= granted, name, " has more credit than was granted");
    world_.expect(granted <= stream_window_max, name, " was granted too much");
    if (is_now_quiet) world_.expect(sender.credit() == granted, name, " has lost credit");
  };
  check_stream(call.streams->in, service.in);
  call.streams->for_each_output(
      [&](StreamName name, const ReceiveStream& stream) { check_stream(service.credit(name), stream); });
}

/// A side that has lost the other one knows it in time.
void Pair::check_end_is_known(const End& end) {
  if (end.session.is_over() || end.session.is_cut()) return;
  const Duration delay = plan_.wire.max_delay;
  if (end_begins_) {
    world_.expect(world_.now() <= *end_begins_ + delay, end.name(), " does not know of the goodbye");
  }
  if (!wire_.is_cut()) return;
  Duration bound = delay;
  if (wire_.cut_how() != Wire::Cut::loud) {
    const Session::Options& a = plan_.master.session;
    const Session::Options& b = plan_.slave.session;
    bound = std::max(a.keepalive + a.patience, b.keepalive + b.patience) + 2 * delay;
  }
  world_.expect(world_.now() <= wire_.cut_time() + bound, end.name(), " does not know of the cut");
}

/// The session of one side is over: nothing of it is left.
void Pair::check_over(const End& end) {
  world_.expect(end.session.is_over() && !end.session.has_output(), end.name(), " would go on sending");
  world_.expect(end.engine.abandoned_calls() == 0, end.name(), " keeps calls that were left");
  world_.expect(end.engine.open_services() == 0, end.name(), " keeps calls that it served");
  for (const auto& [id, story] : stories_) {
    if (&end == &master_ && story.call != nullptr) {
      world_.expect(story.call->state == OpenCall::State::settled && story.outcomes == 1, "call ", id,
                    " was not settled by the end");
    }
    if (&end == &slave_ && story.service) {
      world_.expect(story.service->answered && story.service->cancelled, "call ", id, " is still served after the end");
    }
  }
}

/// What the slave has announced has reached the master before the end, and says why that came. It can be lost only if
/// the slave says goodbye by itself, because its time is over: if the connection is full then, or if the master writes
/// meanwhile.
void Pair::check_release() {
  const bool is_known = master_.session.draining() != nullptr;
  if (!has_drained_) return world_.expect(!is_known, "the master takes the slave for draining");
  const DisconnectReason reason = master_.session.over()->reason;
  const bool may_be_lost = has_timed_out_ && reason == DisconnectReason::cut;
  world_.expect(is_known || may_be_lost, "the master does not know that the slave was draining");
  world_.expect(reason == DisconnectReason::released || reason == DisconnectReason::closed_here || may_be_lost,
                "the slave was draining, and the master says that it is ", std::string(to_string(reason)));
}

bool Pair::is_nothing_under_way() const {
  return master_.engine.abandoned_calls() == 0 && std::all_of(stories_.begin(), stories_.end(), [](const auto& entry) {
           return entry.second.call == nullptr && !entry.second.service;
         });
}

/// Nothing is under way or queued.
bool Pair::is_quiet() const {
  return wire_.is_empty() && !wire_.is_cut() && !master_.session.has_output() && !slave_.session.has_output() &&
         master_.session.closed() == nullptr && slave_.session.closed() == nullptr;
}

/// Nobody wants anything any more.
bool Pair::is_idle() const { return calls_left_ == 0 && is_nothing_under_way(); }

}  // namespace remsh::sim
