#include "rpc/service.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace remsh::rpc {

namespace {
/// The service whose handler runs on this thread: its answer leaves with those of the whole read.
thread_local const PeerService* running = nullptr;
}  // namespace

PeerService::PeerService(std::shared_ptr<Peer> peer, std::shared_ptr<OpenService> state)
    : peer_(std::move(peer)), state_(std::move(state)) {
  state_->owner = this;
}

PeerService::~PeerService() {
  Peer::Locked lock(*peer_);
  state_->owner = nullptr;
  if (!state_->answered) {
    peer_->engine_.fail(*state_, {Errc::remote_failure, "the operation ended without an answer", 0});
  } else if (!promised_) {
    return;
  }
  finish(lock);
}

void PeerService::run(const std::function<void(const std::shared_ptr<ServedCall>&)>& serve) {
  running = this;
  serve(shared_from_this());
  running = nullptr;
}

void PeerService::finish(Peer::Locked& lock) {
  if (std::exchange(promised_, false)) --peer_->promised_;
  if (running == this && peer_->is_covered_by_tick()) return;  // the server thread flushes
  peer_->flush(lock);
  peer_->settle();
}

void PeerService::wait(Peer::Locked& lock, Waiter& me, HasWork has_work) {
  waiters_.push_back(&me);
  peer_->wait_for(lock, me, TimePoint::max(), has_work);
  std::erase(waiters_, &me);
}

void PeerService::answer(Box results) {
  Peer::Locked lock(*peer_);
  peer_->engine_.answer(*state_, results);
  const auto callback = std::exchange(callback_, nullptr);
  finish(lock);
  lock.unlock();  // the callback may hold the last reference to much
}

void PeerService::fail(Failure failure) {
  Peer::Locked lock(*peer_);
  peer_->engine_.fail(*state_, failure);
  const auto callback = std::exchange(callback_, nullptr);
  finish(lock);
  lock.unlock();
}

bool PeerService::cancelled() const {
  const std::lock_guard lock(peer_->mutex_);
  return state_->cancelled;
}

bool PeerService::lost() const {
  const std::lock_guard lock(peer_->mutex_);
  return peer_->ended_;
}

void PeerService::announce_total(std::uint64_t bytes) {
  const std::lock_guard lock(peer_->mutex_);
  total_ = bytes;
}

bool PeerService::write(StreamName stream, Block block, std::size_t count) {
  Peer::Locked lock(*peer_);
  Waiter me;
  me.wants_room = true;
  const auto room = [&] { return peer_->room(credit(stream).room()); };
  const auto has_work = [&] { return is_over() || room() > 0; };
  while (count > 0) {
    wait(lock, me, has_work);
    if (is_over() || peer_->ended_) break;
    const std::size_t part = std::min(count, room());
    std::optional<Block> rest;
    if (part < count) {
      rest.emplace();
      // NOLINTNEXTLINE(bugprone-use-after-move): there is no next round where no rest took its place
      std::memcpy(rest->payload().data(), block.payload().data() + part, count - part);
    }
    peer_->engine_.send_output(*state_, stream, std::move(block), part, std::exchange(total_, std::nullopt));
    peer_->flush(lock);
    peer_->settle();
    if (rest) block = std::move(*rest);
    count -= part;
  }
  return count == 0;
}

std::optional<std::string_view> PeerService::read() {
  Peer::Locked lock(*peer_);
  if (current_ && current_->last) return std::string_view();
  if (current_) {
    peer_->engine_.consumed(*state_, *current_);
    current_.reset();
    peer_->flush(lock);
  }
  Waiter me;
  const auto has_work = [&] { return is_over() || !state_->in.empty(); };
  wait(lock, me, has_work);
  if (is_over() || state_->in.empty()) return std::nullopt;
  current_ = state_->in.take();
  return current_->bytes();
}

std::size_t PeerService::room(StreamName stream) const {
  const std::lock_guard lock(peer_->mutex_);
  if (is_over()) return 0;
  const std::uint64_t available = credit(stream).room();
  if (peer_->lacks_room(available) && !std::exchange(is_thirsty_, true)) {
    peer_->serving_->thirsty.push_back(std::const_pointer_cast<PeerService>(shared_from_this()));
  }
  return peer_->room(available);
}

void PeerService::send(StreamName stream, Block block, std::size_t count) {
  const std::lock_guard lock(peer_->mutex_);
  peer_->engine_.send_output(*state_, stream, std::move(block), count, std::nullopt);
  if (!std::exchange(promised_, true)) ++peer_->promised_;  // flush() follows
  peer_->check();
}

void PeerService::flush() {
  Peer::Locked lock(*peer_);
  finish(lock);
}

std::optional<Chunk> PeerService::take() {
  const std::lock_guard lock(peer_->mutex_);
  if (is_over() || state_->in.empty()) return std::nullopt;
  return state_->in.take();
}

void PeerService::consumed(const Chunk& chunk) {
  Peer::Locked lock(*peer_);
  peer_->engine_.consumed(*state_, chunk);
  finish(lock);
}

void PeerService::on_change(std::function<void()> callback) {
  {
    const std::lock_guard lock(peer_->mutex_);
    callback_.swap(callback);  // what was there before goes without the mutex
  }
  tell();  // what has happened already
}

void PeerService::changed() {
  for (Waiter* const waiter : waiters_) {
    waiter->young_until = peer_->now_ + Transport::slice;
    peer_->wake(*waiter);
  }
  if (callback_) {
    if (auto self = weak_from_this().lock()) peer_->serving_->notes.push_back(std::move(self));
  }
}

void PeerService::tell() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(peer_->mutex_);
    if (telling_) {
      tell_again_ = true;
      return;
    }
    telling_ = true;
  }
  for (;;) {
    {
      const std::lock_guard lock(peer_->mutex_);
      callback = callback_;
      tell_again_ = false;
      is_thirsty_ = false;
    }
    if (callback) callback();
    callback = nullptr;  // without the mutex: it may hold the last reference to much
    const std::lock_guard lock(peer_->mutex_);
    if (tell_again_) continue;
    telling_ = false;
    return;
  }
}

}  // namespace remsh::rpc
