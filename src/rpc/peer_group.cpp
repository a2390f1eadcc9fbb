#include "rpc/peer_group.hpp"

#include "connection/long_value.hpp"
#include "rpc/peer.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace remsh::rpc {

namespace {

PeerGroup::Options with_limits(PeerGroup::Options options) {
  if (options.engine.serves) options.session.limits = call_limits;
  return options;
}

Duration gap_of(const Session::Options& options) {
  constexpr Duration longest = std::chrono::microseconds(62'500);
  if (options.keepalive == Duration::zero()) return longest;
  const Duration shorter = std::min(options.keepalive, options.patience);
  return std::clamp<Duration>(shorter / 160, std::chrono::microseconds(500), longest);
}

constexpr auto is_later = [](const auto& a, const auto& b) { return a.at > b.at; };  // the earliest is on top

}  // namespace

void PeerGroup::give_up_at_once(Peer& peer) { peer.give_up(); }

PeerGroup::PeerGroup(std::shared_ptr<Loop> loop, Options options)
    : loop_(std::move(loop)), options_(with_limits(std::move(options))), gap_(gap_of(options_.session)) {}

PeerGroup::~PeerGroup() { cancel_timer(); }

// --- looks

void PeerGroup::look_at(TimePoint at, std::weak_ptr<Peer> peer) {
  const std::lock_guard lock(mutex_);
  looks_.push_back({at, std::move(peer)});
  std::push_heap(looks_.begin(), looks_.end(), is_later);
  set_timer();
}

void PeerGroup::gone() {
  const std::lock_guard lock(mutex_);
  if (++gone_ <= looks_.size() / 2) return;  // rarely, so that each costs little
  gone_ = 0;
  std::erase_if(looks_, [](const Look& look) { return look.peer.expired(); });
  std::make_heap(looks_.begin(), looks_.end(), is_later);
  if (looks_.size() < looks_.capacity() / 4) looks_.shrink_to_fit();
  if (looks_.empty()) cancel_timer();
}

void PeerGroup::cancel_timer() {
  if (timer_) loop_->cancel(*timer_);
  timer_.reset();
}

void PeerGroup::set_timer() {
  if (looks_.empty()) return;
  const TimePoint at = std::max(looks_.front().at, last_look_ + gap_);
  if (timer_ && timer_at_ <= at) return;
  cancel_timer();
  timer_at_ = at;
  timer_ = loop_->at(at, [weak = weak_from_this(), at] {
    if (const auto self = weak.lock()) self->look(at);
  });
}

void PeerGroup::look(TimePoint timer) {
  constexpr std::size_t few = 64;
  std::vector<std::pair<TimePoint, std::shared_ptr<Peer>>> due;  // may have the last references: not under the mutex
  const TimePoint now = loop_->now();
  {
    const std::lock_guard lock(mutex_);
    if (!timer_ || timer_at_ != timer) return;  // it was replaced when it had begun
    timer_.reset();
    last_look_ = now;
    const std::size_t most = std::max(few, looks_.size() / 8);
    while (!looks_.empty() && looks_.front().at <= now && due.size() < most) {
      std::pop_heap(looks_.begin(), looks_.end(), is_later);
      if (auto peer = looks_.back().peer.lock()) due.emplace_back(looks_.back().at, std::move(peer));
      looks_.pop_back();
    }
  }
  for (const auto& [at, peer] : due) peer->look(at);
  due.clear();
  const std::lock_guard lock(mutex_);
  set_timer();
}

// --- rests

void PeerGroup::rest(std::weak_ptr<Peer> peer) {
  const std::lock_guard lock(mutex_);
  if (!rests_end_) {
    loop_->at(loop_->now() + Link::slice, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->end_rests();
    });
    rests_end_ = true;
  }
  resting_.push_back(std::move(peer));
}

void PeerGroup::end_rests() {
  std::vector<std::weak_ptr<Peer>> over;
  {
    const std::lock_guard lock(mutex_);
    over.swap(resting_);
    rests_end_ = false;
  }
  for (const auto& weak : over) {
    if (const auto peer = weak.lock()) peer->on_rest_over();
  }
}

}  // namespace remsh::rpc
