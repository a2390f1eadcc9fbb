#include "rpc/engine.hpp"

#include "base/format.hpp"
#include "base/thread_object.hpp"
#include "rpc/message.hpp"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <utility>

namespace remsh::rpc {

namespace {

// For pings that were left by their callers, beyond the other calls; and for our own pings, on which no caller waits.
constexpr std::size_t max_open_pings = 1024;

/// A buffer for one box on its way to a queue. It belongs to the thread, because an idle engine should own none.
Bytes& empty_scratch() {
  Bytes* const scratch = of_this_thread<Bytes, Engine>();
  if (scratch == nullptr) return *new Bytes;  // the program exits
  if (scratch->capacity() > 4096) *scratch = Bytes();
  scratch->clear();
  return *scratch;
}

}  // namespace

// --- calls that we make

Engine::Calls::iterator Engine::find(std::optional<std::uint64_t> id) {
  if (!id) return calls_.end();
  const auto at = std::lower_bound(calls_.begin(), calls_.end(), *id,
                                   [](const auto& call, std::uint64_t wanted) { return call->id < wanted; });
  return at != calls_.end() && (*at)->id == *id ? at : calls_.end();
}

bool Engine::has_open_calls(const OperationRange& ids) const noexcept {
  auto at = std::lower_bound(calls_.begin(), calls_.end(), ids.first,
                             [](const auto& call, std::uint64_t wanted) { return call->id < wanted; });
  for (; at != calls_.end() && ids.contains((*at)->id); ++at) {
    const OpenCall& call = **at;
    if (call.state != OpenCall::State::settled && !call.is_own_ping()) return true;
  }
  return false;
}

Result<OpenCall*> Engine::call(BytesView command, const Box& arguments, bool has_op, void* owner, bool has_to_wait) {
  // A ping asks whether the other side is alive, so it must work when calls are refused: our own pings, and the one
  // about the holder of a name. It has a bound of its own before it is busy.
  const std::size_t slack = owner == nullptr    ? SIZE_MAX - options_.max_abandoned
                            : command == "ping" ? max_open_pings
                                                : 0;
  if (abandoned_ >= options_.max_abandoned + slack) {
    return Failure{Errc::busy,
                   formatted("{} earlier calls were left by their callers and are not over yet", abandoned_), 0};
  }
  if (!has_to_wait) send_waiting();
  const bool waits = has_to_wait || (slack == 0 && (has_unsent_ || session_.control_bytes() > options_.max_unsent));
  Bytes& scratch = empty_scratch();
  if (auto encoded = encode_call(scratch, command, make_tag(next_id_), has_op, arguments); !encoded) {
    return encoded.failure();
  }
  auto call = take_spare<OpenCall>();
  call->id = next_id_;
  call->owner = owner;
  if (has_op) call->streams = std::make_unique<OpenCall::Streams>();
  if (waits) call->unsent = scratch;
  calls_.push_back(std::move(call));
  try {
    if (!waits) push(scratch, false);
  } catch (...) {  // out of memory
    calls_.pop_back();
    throw;
  }
  ++next_id_;
  has_unsent_ = has_unsent_ || waits;
  return calls_.back().get();
}

void Engine::forget(const OpenCall& call) {
  const auto at = find(call.id);
  *at->get() = OpenCall();  // frees its answer
  keep_spare(std::move(*at));
  calls_.erase(at);
}

void Engine::send_waiting() {
  if (!has_unsent_) return;
  for (const auto& call : calls_) {
    if (call->is_sent()) continue;
    if (session_.control_bytes() > options_.max_unsent) return;
    push(call->unsent, false);
    call->unsent = Bytes();
    if (call->input_ended) end_input(*call);
    if (call->streams) events_.on_call_changed(*call);  // it may have room for input now
  }
  has_unsent_ = false;
}

void Engine::leave(OpenCall& call) {
  if (call.state == OpenCall::State::open && !call.is_sent()) {
    forget(call);
    return;
  }
  if (call.state == OpenCall::State::open) {
    call.state = OpenCall::State::abandoned;
    call.owner = nullptr;
    ++abandoned_;
    if (!call.streams) return;
    const Bytes op = make_tag(call.id);
    Bytes& scratch = empty_scratch();
    encode_cancel(scratch, op);
    push(scratch, false);
    call.streams->for_each_output(
        [&](StreamName name, ReceiveStream& stream) { grant_credit(op, name, stream.drop_all(pool_)); });
    return;
  }
  assert(call.state == OpenCall::State::settled);
  forget(call);
}

void Engine::consumed(OpenCall& call, const Chunk& chunk) {
  if (call.state == OpenCall::State::settled || chunk.last) return;
  ReceiveStream& stream = call.streams->output(chunk.stream);
  grant_credit(make_tag(call.id), chunk.stream, stream.consume(chunk.bytes().size(), pool_));
}

void Engine::send_input(OpenCall& call, BoxData data) {
  assert(call.is_sent() && call.streams && data.restored() <= call.streams->in.room());
  call.streams->in.spend(data.restored());
  frame_data(data, make_tag(call.id), StreamName::in, std::nullopt);
  session_.send_data(std::move(data.block()));
}

void Engine::end_input(OpenCall& call) {
  if (!call.is_sent()) {
    call.input_ended = true;
    return;
  }
  Bytes& scratch = empty_scratch();
  encode_end(scratch, make_tag(call.id), StreamName::in);
  push(scratch, true);
}

void Engine::settle(OpenCall& call, std::variant<Box, Failure> outcome) {
  if (call.streams) {
    call.streams->for_each_output([this](StreamName, ReceiveStream& stream) { stream.settle(pool_); });
  }
  if (call.state == OpenCall::State::abandoned) {
    --abandoned_;
    forget(call);
    return;
  }
  if (call.is_own_ping()) {
    forget(call);
    return;
  }
  call.state = OpenCall::State::settled;
  call.unsent = Bytes();
  call.outcome = std::move(outcome);
  events_.on_call_changed(call);
}

// --- calls of the other side

void Engine::close_service(OpenService& service) {
  service.answered = true;
  service.in.settle(pool_);
  services_->arguments_size -= std::exchange(service.arguments_size, 0);
  if (!service.op.empty()) services_->by_op.remove(service.op);
  services_->by_tag.remove(service.tag);  // the caller of this function holds a reference
}

void Engine::answer(OpenService& service, const Box& results) {
  if (service.answered) return;
  Bytes& scratch = empty_scratch();
  if (auto encoded = encode_answer(scratch, service.tag, results); !encoded) {
    fail(service, encoded.failure());
    return;
  }
  push(scratch, !service.op.empty());
  close_service(service);
}

void Engine::fail(OpenService& service, const Failure& failure) {
  if (service.answered) return;
  Bytes& scratch = empty_scratch();
  encode_error(scratch, service.tag, failure);
  push(scratch, !service.op.empty());
  close_service(service);
}

void Engine::send_output(OpenService& service, StreamName stream, BoxData data, std::optional<std::uint64_t> total,
                         const PieceMarks& marks) {
  if (service.answered) return;
  SendCredit& credit = service.credit(stream);
  assert(data.restored() <= credit.room());
  credit.spend(data.restored());
  frame_data(data, service.op, stream, total, marks);
  session_.send_data(std::move(data.block()));
}

void Engine::consumed(OpenService& service, const Chunk& chunk) {
  if (service.answered || chunk.last) return;
  grant_credit(service.op, StreamName::in, service.in.consume(chunk.bytes().size(), pool_));
}

// --- the session

void Engine::end(const Failure& failure) {
  for (std::size_t i = 0; i < calls_.size();) {
    OpenCall* const call = calls_[i].get();
    if (call->state != OpenCall::State::settled) settle(*call, failure);
    if (i < calls_.size() && calls_[i].get() == call) ++i;  // otherwise settle() has removed it
  }
  if (!services_) return;
  const Services services = std::exchange(*services_, {});
  for (const auto& service : services.by_tag) {
    service->cancelled = true;
    service->answered = true;
    events_.on_service_changed(*service);
  }
}

void Engine::ping() {
  const auto open = std::count_if(calls_.begin(), calls_.end(), [](const auto& call) { return call->is_own_ping(); });
  if (static_cast<std::size_t>(open) >= max_open_pings) return;
  static_cast<void>(call("ping", {}, false, nullptr));  // a ping that cannot be sent does not matter
}

Result<void> Engine::pong(BytesView tag) {
  Bytes& scratch = empty_scratch();
  if (auto encoded = encode_answer(scratch, tag, {}); !encoded) return encoded.failure();
  push(scratch, false);
  return {};
}

void Engine::grant_credit(BytesView op, StreamName stream, std::uint64_t bytes) {
  if (bytes == 0) return;
  Bytes& scratch = empty_scratch();
  encode_credit(scratch, op, stream, bytes);
  push(scratch, false);
}

void Engine::push(BytesView box, bool ordered) {
  if (ordered) {
    session_.send_ordered(box);
  } else {
    session_.send_control(box);
  }
}

}  // namespace remsh::rpc
