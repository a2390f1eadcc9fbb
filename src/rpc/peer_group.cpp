#include "rpc/peer_group.hpp"

#include "connection/long_value.hpp"
#include "rpc/peer.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace remsh::rpc {

namespace {

constexpr std::size_t shares = 8;  // of a period, if there are many peers

PeerGroup::Options with_limits(PeerGroup::Options options) {
  if (options.engine.serves) options.session.limits = call_limits;
  return options;
}

Duration period_of(const Session::Options& options) {
  constexpr Duration longest = std::chrono::milliseconds(500);
  if (options.keepalive == Duration::zero()) return longest;
  const Duration shorter = std::min(options.keepalive, options.patience);
  return std::clamp<Duration>(shorter / 20, std::chrono::milliseconds(5), longest);
}

bool is_same(const std::weak_ptr<Peer>& a, const std::weak_ptr<Peer>& b) {
  return !a.owner_before(b) && !b.owner_before(a);
}

}  // namespace

void PeerGroup::give_up_at_once(Peer& peer) { peer.give_up(); }

PeerGroup::PeerGroup(std::shared_ptr<Loop> loop, Options options)
    : loop_(std::move(loop)), options_(with_limits(std::move(options))), period_(period_of(options_.session)) {}

void PeerGroup::add(std::weak_ptr<Peer> peer) {
  const std::lock_guard lock(mutex_);
  peers_.push_back(std::move(peer));
  if (!std::exchange(looks_, true)) look_later();
}

void PeerGroup::look_later() {
  const auto parts = static_cast<Duration::rep>(std::clamp<std::size_t>(peers_.size(), 1, shares));
  loop_->at(loop_->now() + period_ / parts, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->look();
  });
}

void PeerGroup::look() {
  std::vector<std::shared_ptr<Peer>> some;  // may hold the last reference to a peer, so destroyed without the mutex
  std::vector<std::size_t> places;          // their indexes in the list
  {
    const std::lock_guard lock(mutex_);
    const std::size_t share = (peers_.size() + shares - 1) / shares;
    some.reserve(share);
    while (some.size() < share && !peers_.empty()) {
      if (next_ >= peers_.size()) next_ = 0;
      if (auto peer = peers_[next_].lock()) {
        some.push_back(std::move(peer));
        places.push_back(next_++);
      } else {
        peers_[next_] = std::move(peers_.back());
        peers_.pop_back();
      }
    }
    if (peers_.size() < peers_.capacity() / 4) peers_.shrink_to_fit();
  }
  std::vector<std::pair<std::size_t, std::weak_ptr<Peer>>> ended;
  for (std::size_t i = 0; i < some.size(); ++i) {
    if (!some[i]->on_liveness()) ended.emplace_back(places[i], some[i]);
  }
  some.clear();
  const std::lock_guard lock(mutex_);
  for (const auto& [place, peer] : ended) {  // the next check removes these entries
    if (place < peers_.size() && is_same(peers_[place], peer)) peers_[place].reset();
  }
  looks_ = !peers_.empty();
  if (looks_) look_later();
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
