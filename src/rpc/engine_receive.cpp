// Engine, what the other side sends: each box changes a call of ours, a call of theirs, or is a breach of the protocol.
#include "rpc/engine.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "connection/box_data.hpp"
#include "connection/long_value.hpp"
#include "rpc/message.hpp"

#include <cstdint>
#include <utility>

namespace remsh::rpc {

namespace {

constexpr std::size_t max_tag = 16;
constexpr std::size_t max_pongs = 64;  // unwritten answers to pings of a peer that has no verbs here

bool is_tag(BytesView text) { return !text.empty() && text.size() <= max_tag; }

/// The fields apart from the envelope, with long values joined. A call may have other keys that begin with '_': those
/// of section 7, for operations of the slave's owner.
Result<Box> content(const BoxView& box, bool is_call) {
  bool has_parts = false;
  Box fields = box.copy_if([&](BytesView key) {
    if (is_call ? key == "_ask" || key == "_command" || key == "op" : key.front() == '_') return false;
    has_parts = has_parts || key.find('~') != BytesView::npos;
    return true;
  });
  if (!has_parts) return fields;
  return join_long_values(std::move(fields));
}

/// Makes a chunk keep its bytes. Many are left where they were read; few are copied, so that what waits in a stream
/// keeps at most six times its size.
void keep_bytes(Chunk& chunk, const SharedMemory& memory) {
  constexpr std::size_t many = std::size_t{48} * 1024;
  if (!chunk.owned.empty()) return;  // it has been decompressed
  const BytesView bytes = chunk.read;
  const bool is_inside =
      memory && bytes.data() >= memory.bytes().data() && bytes.data() < memory.bytes().data() + SharedMemory::size;
  if (bytes.size() >= many && is_inside) {
    chunk.memory = memory;
  } else {
    chunk.owned = std::exchange(chunk.read, {});
  }
}

}  // namespace

Result<void> Engine::receive(const BoxView& box, const SharedMemory& memory) {
  if (!options_.serves && session_.control_bytes() > options_.max_unsent + options_.max_unread_credit) {
    return breach("it does not read, but goes on sending as if it had been granted credit");
  }
  if (const auto tag = box.get("_answer")) return receive_outcome(box, *tag, false);
  if (const auto tag = box.get("_error")) return receive_outcome(box, *tag, true);
  const auto command = box.get("_command");
  if (!command) return breach("a box that is no call, no answer and no error");
  if (const auto tag = box.get("_ask")) return receive_call(box, *command, *tag);
  return receive_stream_box(box, *command, memory);
}

Result<void> Engine::receive_outcome(const BoxView& box, BytesView tag, bool is_error) {
  const auto id = parse_tag(tag);
  const auto found = find(id);
  if (found == calls_.end() || (*found)->state == OpenCall::State::settled || !(*found)->is_sent()) {
    return breach(formatted("an answer to no open call, tag {}", in_quotes(tag.substr(0, max_tag))));
  }
  OpenCall& call = **found;
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
  if (!is_tag(tag)) return breach(formatted("a call with a tag of {} bytes", tag.size()));
  if (options_.serves && session_.control_bytes() + session_.data_bytes() > options_.max_unread) {
    return breach("one more call, of a caller that does not read its answers");
  }
  if (command == "ping") {
    const auto written = static_cast<std::uint32_t>(session_.sent().bytes);
    if (std::exchange(ponged_at_, written) != written) pongs_ = 0;
    if (!options_.serves && ++pongs_ > max_pongs) return breach("a flood of pings");
    events_.on_ping();
    return pong(tag);
  }
  if (!options_.serves) {
    return breach(formatted("a call of {}: a slave has no verbs here", in_quotes(command.substr(0, 64))));
  }
  const BytesView op = box.get("op").value_or(BytesView());
  if (box.has("op") && !is_tag(op)) return breach(formatted("an op of {} bytes", op.size()));
  if (services_->by_tag.find(tag) != nullptr) return breach("a tag that is in use");
  if (!op.empty() && services_->by_op.find(op) != nullptr) return breach("an op that is in use");
  auto service = std::make_shared<OpenService>();
  service->tag = tag;
  service->op = op;
  service->command = command;
  auto arguments = content(box, true);
  const bool is_full = services_->by_tag.size() >= options_.max_services;
  const std::size_t size = arguments ? arguments->bytes() : 0;
  services_->by_tag.add(service);
  if (!op.empty()) services_->by_op.add(service);
  if (!arguments) {
    fail(*service, arguments.failure());
  } else if (is_full) {
    fail(*service, {Errc::busy, formatted("{} operations are open already", services_->by_tag.size() - 1), 0});
  } else if (size > options_.max_arguments - services_->arguments_size) {
    fail(*service, {Errc::busy, "the operations that are open have too many bytes of arguments already", 0});
  } else {
    service->arguments = std::move(*arguments);
    service->arguments_size = size;
    services_->arguments_size += size;
    events_.on_service(std::move(service));
  }
  return {};
}

Result<void> Engine::receive_stream_box(const BoxView& box, BytesView command, const SharedMemory& memory) {
  if (command == "goodbye") {
    session_.receive_goodbye(box);
    return {};
  }
  if (command == "draining" && !options_.serves) {
    session_.receive_draining(box);
    return {};
  }
  const auto op = box.get("op");
  const bool is_known = command == "data" || command == "end" || command == "credit" || command == "cancel";
  if (!is_known || !op) {
    if (options_.serves) return {};
    return breach(formatted("a box {}: a slave has no verbs here", in_quotes(command.substr(0, 64))));
  }
  OpenService* const service = service_of(*op);
  if (command == "cancel") {
    if (!options_.serves) return breach("a cancel: a slave has no verbs here");
    if (service != nullptr && !service->cancelled) {
      service->cancelled = true;
      events_.on_service_changed(*service);
    }
    return {};
  }
  const auto stream = stream_name(box.get("stream").value_or(BytesView()));
  if (!stream) return breach(formatted("a box {} of an unknown stream", in_quotes(command)));
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
  if (const auto size = box.get("zstd"); size && !chunk.last) {
    auto restored = compresses_ ? decompressed(bytes, parse_number(*size).value_or(0)) : std::nullopt;
    if (!restored)
      return breach(compresses_ ? "compressed data that does not become what it says"
                                : "compressed data, which was not agreed on");
    chunk.owned = std::move(*restored);
  } else {
    chunk.read = bytes;
  }
  if (*stream == StreamName::in) {
    if (!options_.serves) return breach("input for an operation: a slave has no verbs here");
    if (service == nullptr) return {};  // over already: the input has crossed our answer
    return receive_input(*service, std::move(chunk), memory);
  }
  if (chunk.last) return breach("an end of output: that is the answer");
  if (const auto total = box.get("total")) chunk.total = parse_number(*total);
  if (const auto at = box.get("at")) chunk.marks.at = parse_number(*at);
  if (const auto log = box.get("log")) chunk.marks.log = parse_number(*log);
  return receive_output(*op, std::move(chunk), memory);
}

OpenService* Engine::service_of(BytesView op) const {
  if (!services_) return nullptr;
  return services_->by_op.find(op);
}

Result<void> Engine::receive_input(OpenService& service, Chunk chunk, const SharedMemory& memory) {
  keep_bytes(chunk, memory);
  if (!service.in.receive(std::move(chunk))) return breach("more input than was granted, or after its end");
  events_.on_service_changed(service);
  return {};
}

Result<void> Engine::receive_output(BytesView op, Chunk chunk, const SharedMemory& memory) {
  const auto id = parse_tag(op);
  const auto found = find(id);
  if (found == calls_.end() || (*found)->state == OpenCall::State::settled || !(*found)->streams ||
      !(*found)->is_sent()) {
    if (options_.serves) return {};
    return breach("output of an operation that is over or was never begun");
  }
  OpenCall& call = **found;
  ReceiveStream& stream = call.streams->output(chunk.stream);
  if (call.state == OpenCall::State::abandoned) {
    std::uint64_t grant = 0;
    if (!stream.receive_and_drop(chunk, pool_, grant)) return breach("more output than was granted");
    grant_credit(op, chunk.stream, grant);
    return {};
  }
  keep_bytes(chunk, memory);
  if (!stream.receive(std::move(chunk))) return breach("more output than was granted");
  events_.on_call_changed(call);
  return {};
}

Result<void> Engine::receive_credit(BytesView op, StreamName stream, std::uint64_t bytes) {
  if (stream == StreamName::in) {
    const auto id = parse_tag(op);
    const auto found = find(id);
    if (found == calls_.end()) {
      if (options_.serves || (id && *id < next_id_)) return {};  // the credit has crossed the answer
      return breach("credit for an operation that was never begun");
    }
    OpenCall& call = **found;
    if (!call.is_sent()) return breach("credit for an operation that was never begun");
    if (!call.streams || !call.streams->in.add(bytes)) return breach("more credit than a stream can have");
    if (call.state == OpenCall::State::open) events_.on_call_changed(call);
    return {};
  }
  if (!options_.serves) return breach("credit for output of ours: a slave has no verbs here");
  OpenService* const service = service_of(op);
  if (service == nullptr) return {};
  if (!service->credit(stream).add(bytes)) {
    return breach("more credit than a stream can have");
  }
  events_.on_service_changed(*service);
  return {};
}

}  // namespace remsh::rpc
