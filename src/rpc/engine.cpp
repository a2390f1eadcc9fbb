#include "rpc/engine.hpp"

#include "base/text.hpp"
#include "connection/long_value.hpp"
#include "rpc/message.hpp"

#include <cassert>
#include <utility>

namespace remsh::rpc {

namespace {

constexpr std::size_t max_tag = 16;
constexpr std::size_t max_pongs = 64;  // unwritten answers to pings of a peer that has no verbs here

Failure breach(std::string what) { return {Errc::protocol_error, std::move(what), 0}; }

bool is_tag(BytesView text) { return !text.empty() && text.size() <= max_tag; }

/// The fields that are not the envelope's, long values joined.
Result<Box> content(const BoxView& box, bool is_call) {
  Box fields;
  fields.reserve(box.size());
  bool has_parts = false;
  for (const auto& [key, value] : box) {
    if (key.front() == '_' || (is_call && key == "op")) continue;
    has_parts = has_parts || key.find('~') != BytesView::npos;
    fields.set(Bytes(key), Bytes(value));
  }
  if (!has_parts) return fields;
  return join_long_values(std::move(fields));
}

}  // namespace

// --- calls that we make

Result<OpenCall*> Engine::call(BytesView command, const Box& arguments, bool has_op, void* owner) {
  if (abandoned_ >= options_.max_abandoned && owner != nullptr) {  // our own pings go on
    return Failure{Errc::busy,
                   std::to_string(abandoned_) + " earlier calls were left by their callers and are not over yet", 0};
  }
  if (queue_.control_bytes() > options_.max_unsent && owner != nullptr) {
    return Failure{Errc::busy, "the other side does not read what was sent to it", 0};
  }
  scratch_.clear();
  if (auto encoded = encode_call(scratch_, command, make_tag(next_id_), has_op, arguments); !encoded) {
    return encoded.failure();
  }
  push(false);
  auto call = std::make_unique<OpenCall>();
  call->id = next_id_++;
  call->owner = owner;
  if (has_op) call->streams = std::make_unique<OpenCall::Streams>();
  OpenCall* const result = call.get();
  calls_.emplace(result->id, std::move(call));
  return result;
}

void Engine::leave(OpenCall& call) {
  if (call.state == OpenCall::State::open) {
    call.state = OpenCall::State::abandoned;
    call.owner = nullptr;
    ++abandoned_;
    if (!call.streams) return;
    const Bytes op = make_tag(call.id);
    scratch_.clear();
    encode_cancel(scratch_, op);
    push(false);
    grant_credit(op, StreamName::out, call.streams->out.drop_all(pool_));
    grant_credit(op, StreamName::err, call.streams->err.drop_all(pool_));
    return;
  }
  assert(call.state == OpenCall::State::settled);
  calls_.erase(call.id);
}

void Engine::consumed(OpenCall& call, const Chunk& chunk) {
  if (call.state == OpenCall::State::settled || chunk.last) return;
  ReceiveStream& stream = chunk.stream == StreamName::err ? call.streams->err : call.streams->out;
  grant_credit(make_tag(call.id), chunk.stream, stream.consume(chunk.bytes().size(), pool_));
}

void Engine::send_input(OpenCall& call, Block block, std::size_t count) {
  assert(call.streams && count <= call.streams->in.room());
  call.streams->in.spend(count);
  frame_data(block, count, make_tag(call.id), StreamName::in, std::nullopt);
  queue_.push_data(std::move(block));
}

void Engine::end_input(OpenCall& call) {
  scratch_.clear();
  encode_end(scratch_, make_tag(call.id), StreamName::in);
  push(true);
}

void Engine::settle(OpenCall& call, std::variant<Box, Failure> outcome) {
  if (call.streams) {
    call.streams->out.settle(pool_);
    call.streams->err.settle(pool_);
  }
  if (call.state == OpenCall::State::abandoned) {
    --abandoned_;
    calls_.erase(call.id);
    return;
  }
  if (call.owner == nullptr) {  // our own ping
    pinging_ = false;
    calls_.erase(call.id);
    return;
  }
  call.state = OpenCall::State::settled;
  call.outcome = std::move(outcome);
  events_.on_call_changed(call);
}

// --- calls of the other side

void Engine::close_service(OpenService& service) {
  service.answered = true;
  service.in.settle(pool_);
  if (!service.op.empty()) services_by_op_.erase(service.op);
  services_.erase(service.tag);  // the caller of this holds it
}

void Engine::answer(OpenService& service, const Box& results) {
  if (service.answered) return;
  scratch_.clear();
  if (auto encoded = encode_answer(scratch_, service.tag, results); !encoded) {
    fail(service, encoded.failure());
    return;
  }
  push(!service.op.empty());
  close_service(service);
}

void Engine::fail(OpenService& service, const Failure& failure) {
  if (service.answered) return;
  scratch_.clear();
  encode_error(scratch_, service.tag, failure);
  push(!service.op.empty());
  close_service(service);
}

void Engine::send_output(OpenService& service, StreamName stream, Block block, std::size_t count,
                         std::optional<std::uint64_t> total) {
  if (service.answered) return;
  SendCredit& credit = stream == StreamName::err ? service.err : service.out;
  assert(count <= credit.room());
  credit.spend(count);
  frame_data(block, count, service.op, stream, total);
  queue_.push_data(std::move(block));
}

void Engine::consumed(OpenService& service, const Chunk& chunk) {
  if (service.answered || chunk.last) return;
  grant_credit(service.op, StreamName::in, service.in.consume(chunk.bytes().size(), pool_));
}

// --- the connection

Result<void> Engine::receive(const BoxView& box, const OpenCall* reader, BytesView lent) {
  if (goodbye_) return {};  // nothing counts after it
  if (const auto tag = box.get("_answer")) return receive_outcome(box, *tag, false);
  if (const auto tag = box.get("_error")) return receive_outcome(box, *tag, true);
  const auto command = box.get("_command");
  if (!command) return breach("a box that is no call, no answer and no error");
  if (const auto tag = box.get("_ask")) return receive_call(box, *command, *tag);
  return receive_stream_box(box, *command, reader, lent);
}

Result<void> Engine::receive_outcome(const BoxView& box, BytesView tag, bool is_error) {
  const auto id = parse_tag(tag);
  const auto found = id ? calls_.find(*id) : calls_.end();
  if (found == calls_.end() || found->second->state == OpenCall::State::settled) {
    return breach("an answer to no open call, tag '" + escaped(tag.substr(0, max_tag)) + "'");
  }
  OpenCall& call = *found->second;
  if (is_error) {
    const auto code = box.get("_error_code");
    const auto description = box.get("_error_description");
    if (!code || !description) return breach("an error without code or description");
    settle(call, failure_of(*code, *description));
    return {};
  }
  auto results = content(box, false);
  if (!results) return breach(std::move(results).failure().message);
  settle(call, std::move(*results));
  return {};
}

Result<void> Engine::receive_call(const BoxView& box, BytesView command, BytesView tag) {
  if (!is_tag(tag)) return breach("a call with a tag of " + std::to_string(tag.size()) + " bytes");
  if (command == "ping") {
    if (!options_.serves && ++pongs_ > max_pongs) return breach("a flood of pings");
    scratch_.clear();
    if (auto encoded = encode_answer(scratch_, tag, {}); !encoded) return encoded.failure();
    push(false);
    return {};
  }
  if (!options_.serves) return breach("a call of '" + escaped(command.substr(0, 64)) + "': a slave has no verbs here");
  const BytesView op = box.get("op").value_or(BytesView());
  if (box.has("op") && !is_tag(op)) return breach("an op of " + std::to_string(op.size()) + " bytes");
  if (services_.contains(tag)) return breach("a tag that is in use");
  if (!op.empty() && services_by_op_.contains(op)) return breach("an op that is in use");
  auto service = std::make_shared<OpenService>();
  service->tag = tag;
  service->op = op;
  service->command = command;
  auto arguments = content(box, true);
  const bool is_full = services_.size() >= options_.max_services;
  services_.emplace(service->tag, service);
  if (!op.empty()) services_by_op_.emplace(service->op, service.get());
  if (!arguments) {
    fail(*service, arguments.failure());
  } else if (is_full) {
    fail(*service, {Errc::busy, std::to_string(services_.size() - 1) + " operations are open already", 0});
  } else {
    service->arguments = std::move(*arguments);
    events_.on_service(std::move(service));
  }
  return {};
}

Result<void> Engine::receive_stream_box(const BoxView& box, BytesView command, const OpenCall* reader, BytesView lent) {
  if (command == "goodbye") {
    goodbye_.emplace(Goodbye{Bytes(box.get("reason").value_or(BytesView()).substr(0, 256)), std::nullopt});
    if (const auto retry = box.get("retry")) goodbye_->retry = parse_number(*retry);
    return {};
  }
  const auto op = box.get("op");
  const bool is_known = command == "data" || command == "end" || command == "credit" || command == "cancel";
  if (!is_known || !op) {
    if (options_.serves) return {};
    return breach("a box '" + escaped(command.substr(0, 64)) + "': a slave has no verbs here");
  }
  const auto service = services_by_op_.find(*op);
  const bool is_served = service != services_by_op_.end();
  if (command == "cancel") {
    if (!options_.serves) return breach("a cancel: a slave has no verbs here");
    if (is_served && !service->second->cancelled) {
      service->second->cancelled = true;
      events_.on_service_changed(*service->second);
    }
    return {};
  }
  const auto stream = stream_name(box.get("stream").value_or(BytesView()));
  if (!stream) return breach("a box '" + escaped(command) + "' of an unknown stream");
  if (command == "credit") {
    const auto bytes = parse_number(box.get("bytes").value_or(BytesView()));
    if (!bytes) return breach("credit without a number");
    return receive_credit(*op, *stream, *bytes);
  }
  Chunk chunk;
  chunk.stream = *stream;
  chunk.last = command == "end";
  const BytesView bytes = box.get("data").value_or(BytesView());
  if (!chunk.last && bytes.empty()) return breach("data without bytes");
  if (*stream == StreamName::in) {
    if (!options_.serves) return breach("input for an operation: a slave has no verbs here");
    if (!is_served) return {};  // over already; it has crossed the answer
    chunk.owned = bytes;
    return receive_input(*service->second, std::move(chunk));
  }
  if (chunk.last) return breach("an end of output: that is the answer");
  if (const auto total = box.get("total")) chunk.total = parse_number(*total);
  return receive_output(*op, bytes, std::move(chunk), reader, lent);
}

Result<void> Engine::receive_input(OpenService& service, Chunk chunk) {
  if (!service.in.receive(std::move(chunk))) return breach("more input than was granted, or after its end");
  events_.on_service_changed(service);
  return {};
}

Result<void> Engine::receive_output(BytesView op, BytesView bytes, Chunk chunk, const OpenCall* reader,
                                    BytesView lent) {
  const auto id = parse_tag(op);
  const auto found = id ? calls_.find(*id) : calls_.end();
  if (found == calls_.end() || found->second->state == OpenCall::State::settled || !found->second->streams) {
    if (options_.serves) return {};
    return breach("output of an operation that is over or was never begun");
  }
  OpenCall& call = *found->second;
  ReceiveStream& stream = chunk.stream == StreamName::err ? call.streams->err : call.streams->out;
  if (call.state == OpenCall::State::abandoned) {
    chunk.borrowed = bytes;
    std::uint64_t grant = 0;
    if (!stream.receive_and_drop(chunk, pool_, grant)) return breach("more output than was granted");
    grant_credit(op, chunk.stream, grant);
    return {};
  }
  const bool is_lent = bytes.data() >= lent.data() && bytes.data() < lent.data() + lent.size();
  if (&call == reader && is_lent) {
    chunk.borrowed = bytes;
  } else {
    chunk.owned = bytes;
  }
  if (!stream.receive(std::move(chunk))) return breach("more output than was granted");
  events_.on_call_changed(call);
  return {};
}

Result<void> Engine::receive_credit(BytesView op, StreamName stream, std::uint64_t bytes) {
  if (stream == StreamName::in) {
    const auto id = parse_tag(op);
    const auto found = id ? calls_.find(*id) : calls_.end();
    if (found == calls_.end()) {
      if (options_.serves || (id && *id < next_id_)) return {};  // has crossed the answer
      return breach("credit for an operation that was never begun");
    }
    OpenCall& call = *found->second;
    if (!call.streams || !call.streams->in.add(bytes)) return breach("more credit than a stream can have");
    if (call.state == OpenCall::State::open) events_.on_call_changed(call);
    return {};
  }
  if (!options_.serves) return breach("credit for output of ours: a slave has no verbs here");
  const auto found = services_by_op_.find(op);
  if (found == services_by_op_.end()) return {};
  OpenService& service = *found->second;
  if (!(stream == StreamName::err ? service.err : service.out).add(bytes)) {
    return breach("more credit than a stream can have");
  }
  events_.on_service_changed(service);
  return {};
}

void Engine::end(const Failure& failure) {
  queue_.clear();
  for (auto at = calls_.begin(); at != calls_.end();) {
    OpenCall& call = *at++->second;  // settle() may take it out
    if (call.state != OpenCall::State::settled) settle(call, failure);
  }
  const auto services = std::exchange(services_, {});
  services_by_op_.clear();
  for (const auto& [tag, service] : services) {
    service->cancelled = true;
    service->answered = true;
    events_.on_service_changed(*service);
  }
}

void Engine::goodbye(BytesView reason, std::optional<std::uint64_t> retry) {
  scratch_.clear();
  encode_goodbye(scratch_, reason, retry);
  push(false);
}

Result<void> Engine::tick(TimePoint now) {
  if (last_sent_ == TimePoint() || sent_ != seen_sent_) {
    seen_sent_ = sent_;
    last_sent_ = now;
  }
  if (last_received_ == TimePoint() || received_ != seen_received_) {
    seen_received_ = received_;
    last_received_ = now;
  }
  if (now - last_received_ >= options_.keepalive + options_.patience) {
    const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_received_);
    return Failure{Errc::connection_lost, "silent for " + std::to_string(silence.count()) + " ms", 0};
  }
  if (now - last_sent_ >= options_.keepalive && !pinging_) {
    pinging_ = call("ping", {}, false, nullptr).ok();
  }
  return {};
}

void Engine::grant_credit(BytesView op, StreamName stream, std::uint64_t bytes) {
  if (bytes == 0) return;
  scratch_.clear();
  encode_credit(scratch_, op, stream, bytes);
  push(false);
}

/// The box in scratch_ goes into the queue.
void Engine::push(bool ordered) {
  if (ordered) {
    queue_.push_ordered(scratch_);
  } else {
    queue_.push_control(scratch_);
  }
  if (scratch_.capacity() > 4096) scratch_ = Bytes();
}

}  // namespace remsh::rpc
