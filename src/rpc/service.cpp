#include "rpc/service.hpp"

#include "rpc/server.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace remsh::rpc {

namespace {
/// The service whose handler runs on this thread: its answer is sent together with those to the whole read.
thread_local const PeerService* running = nullptr;
}  // namespace

PeerService::PeerService(std::shared_ptr<Peer> peer, std::shared_ptr<OpenService> state)
    : peer_(std::move(peer)), state_(std::move(state)) {
  state_->owner = this;
}

PeerService::~PeerService() {
  unlist();
  Peer::Locked lock(*peer_);
  state_->owner = nullptr;
  if (!state_->answered) {
    peer_->engine_.fail(*state_, {Errc::remote_failure, "the operation ended without an answer", 0});
  } else if (!promised_) {
    return;
  }
  finish_for_good(lock);
}

void PeerService::begin(const std::function<void(const std::shared_ptr<ServedCall>&)>& serve) {
  running = this;
  serve(shared_from_this());
  running = nullptr;
}

void PeerService::go_on() {
  running = this;
  tell();
  running = nullptr;
}

void PeerService::finish_for_good(Peer::Locked& lock) {
  const auto callback = std::exchange(callback_, nullptr);
  const auto step = std::exchange(step_, nullptr);
  const auto requests = std::exchange(state_->requests, {});
  finish(lock);
  lock.unlock();  // the functions may hold the last references to large objects
  for (const auto& request : requests) request->answer({});
}

void PeerService::finish(Peer::Locked& lock) {
  if (std::exchange(promised_, false)) --peer_->promised_;
  if (running == this && peer_->server_->holds_back_answers()) return;  // the worker flushes
  peer_->flush(lock);
  peer_->settle();
}

void PeerService::wait(Peer::Locked& lock, Waiter& me, HasWork has_work) {
  waiters_.push_back(&me);
  peer_->wait_for(lock, me, TimePoint::max(), has_work);
  std::erase(waiters_, &me);
}

void PeerService::answer(Box results) {
  unlist();
  Peer::Locked lock(*peer_);
  peer_->engine_.answer(*state_, results);
  finish_for_good(lock);
}

void PeerService::fail(Failure failure) {
  unlist();
  Peer::Locked lock(*peer_);
  peer_->engine_.fail(*state_, failure);
  finish_for_good(lock);
}

bool PeerService::cancelled() const {
  const std::lock_guard lock(peer_->mutex_);
  return state_->cancelled;
}

bool PeerService::lost() const {
  const std::lock_guard lock(peer_->mutex_);
  return peer_->is_over();
}

void PeerService::announce_total(std::uint64_t bytes) {
  counts().set_total(bytes);
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
    if (is_over() || peer_->is_over()) break;
    const std::size_t part = std::min(count, room());
    std::optional<Block> rest;
    if (part < count) {
      rest.emplace();
      // NOLINTNEXTLINE(bugprone-use-after-move): the loop ends if no new rest was made
      std::memcpy(rest->payload().data(), block.payload().data() + part, count - part);
    }
    auto data = peer_->box_data(lock, std::move(block), part);
    peer_->engine_.send_output(*state_, stream, std::move(data), std::exchange(total_, std::nullopt));
    counts().add_out(part);
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
  counts().add_in(current_->bytes().size());
  return current_->bytes();
}

std::size_t PeerService::room(StreamName stream) const {
  const std::lock_guard lock(peer_->mutex_);
  if (is_over()) return 0;
  const std::uint64_t available = credit(stream).room();
  if (peer_->lacks_room(available) && !std::exchange(lacks_room_, true)) {
    peer_->server_->without_room.push_back(std::const_pointer_cast<PeerService>(shared_from_this()));
  }
  return peer_->room(available);
}

void PeerService::send(StreamName stream, Block block, std::size_t count, const PieceMarks& marks) {
  Peer::Locked lock(*peer_);
  auto data = peer_->box_data(lock, std::move(block), count);
  peer_->engine_.send_output(*state_, stream, std::move(data), std::exchange(total_, std::nullopt), marks);
  counts().add_out(count);
  if (!std::exchange(promised_, true)) ++peer_->promised_;  // flush() follows
  peer_->check();
}

void PeerService::flush() {
  Peer::Locked lock(*peer_);
  if (std::exchange(promised_, false)) --peer_->promised_;
  peer_->flush(lock);
  peer_->settle();
}

std::optional<Chunk> PeerService::take() {
  const std::lock_guard lock(peer_->mutex_);
  if (is_over() || state_->in.empty()) return std::nullopt;
  Chunk chunk = state_->in.take();
  counts().add_in(chunk.bytes().size());
  return chunk;
}

void PeerService::consumed(const Chunk& chunk) {
  Peer::Locked lock(*peer_);
  peer_->engine_.consumed(*state_, chunk);
  finish(lock);
}

void PeerService::on_change(std::function<void()> callback) {
  {
    const std::lock_guard lock(peer_->mutex_);
    callback_.swap(callback);  // destroys the previous callback without the mutex
  }
  tell();  // reports what has happened already
}

void PeerService::changed() {
  for (Waiter* const waiter : waiters_) {
    waiter->young_until = peer_->session_.last_received() + Link::slice;
    peer_->wake(*waiter);
  }
  notify();
}

void PeerService::notify() {
  if ((!callback_ && !step_) || (awaits_cancel_ && !state_->cancelled)) return;
  auto self = weak_from_this().lock();
  if (!self) return;
  if (callback_) {
    peer_->server_->to_tell.push_back(std::move(self));
  } else if (telling_) {
    tell_again_ = true;  // by the worker that runs a step
  } else if (!std::exchange(is_ready_, true)) {
    peer_->server_->add(std::move(self));
  }
}

void PeerService::run_on_change(std::function<void()> step) {
  Peer::Locked lock(*peer_);
  step_ = std::move(step);
  notify();  // reports what has happened already
}

void PeerService::run_on_cancel(std::function<void()> step) {
  Peer::Locked lock(*peer_);
  step_ = std::move(step);
  awaits_cancel_ = true;
  notify();
}

bool PeerService::hand_over_to(BytesView op, BytesView command) {
  Peer::Locked lock(*peer_);
  OpenService* const other = peer_->engine_.service_of(op);
  if (other == nullptr || other->command != command) return false;
  other->requests.push_back(shared_from_this());
  peer_->on_service_changed(*other);
  return true;
}

std::shared_ptr<ServedCall> PeerService::take_request() {
  const std::lock_guard lock(peer_->mutex_);
  if (state_->requests.empty()) return nullptr;
  auto request = std::move(state_->requests.front());
  state_->requests.erase(state_->requests.begin());
  return request;
}

void PeerService::tell() {
  {
    const std::lock_guard lock(peer_->mutex_);
    is_ready_ = false;
    if (telling_) {
      tell_again_ = true;
      return;
    }
    telling_ = true;
  }
  for (;;) {
    std::function<void()> what;
    {
      const std::lock_guard lock(peer_->mutex_);
      what = step_ ? step_ : callback_;
      tell_again_ = false;
      lacks_room_ = false;
    }
    if (what) what();
    what = nullptr;  // without the mutex: it may hold the last reference to a large object
    Peer::Locked lock(*peer_);
    if (tell_again_ && !step_) continue;
    telling_ = false;
    if (std::exchange(tell_again_, false)) notify();  // queues the next step behind the jobs of others
    return;
  }
}

}  // namespace remsh::rpc
