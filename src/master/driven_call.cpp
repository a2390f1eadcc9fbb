#include "master/driven_call.hpp"

#include "base/format.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace remsh {

namespace {

/// After this many events another operation of the same thread gets its turn.
constexpr int burst = 16;

}  // namespace

bool DrivenCall::poll(const Waker& wake) {
  for (int i = 0; i < burst; ++i) {
    const auto event = call_.poll(feeds_, wake);
    if (!event) return false;
    if (do_next(*event)) return true;
  }
  call_.suspend();
  wake();
  return false;
}

bool DrivenCall::wait_until(TimePoint until) {
  for (;;) {
    const auto event = call_.next_until(feeds_, until);
    if (!event) return false;
    if (do_next(*event)) return true;
  }
}

Result<void> DrivenCall::take() {
  if (failed_) return std::move(call_.failure());
  operation_.answered_at = call_.answered_at();
  auto answered = operation_.answered(std::move(call_.answer()));
  if (answered) return {};
  // This ends the call, not the connection.
  return Failure{Errc::protocol_error,
                 formatted("the answer to {} makes no sense: {}", operation_.command(), answered.failure().message), 0};
}

/// True if the operation is over.
bool DrivenCall::do_next(rpc::Call::Event event) {
  switch (event) {
    case rpc::Call::Event::chunk: take_chunk(); return false;
    case rpc::Call::Event::room: feed(); return false;
    case rpc::Call::Event::answered: return true;
    case rpc::Call::Event::failed: failed_ = true; return true;
  }
  return true;
}

void DrivenCall::take_chunk() {
  const rpc::Chunk& chunk = call_.chunk();
  const StreamEnds& ends = operation_.ends;
  if (chunk.total && ends.size) ends.size(*chunk.total);
  operation_.piece_at.reset();
  const auto& at = chunk.marks.at;
  if (at) operation_.piece_at.emplace(std::chrono::microseconds(static_cast<std::int64_t>(*at)));
  const auto give = [&](const OutputCallback& output) {
    if (!output) return;
    output(chunk.bytes());
    operation_.moved.add_out(chunk.bytes().size());
  };
  switch (chunk.stream) {
    case rpc::StreamName::in: break;
    case rpc::StreamName::out: give(ends.out); break;
    case rpc::StreamName::err: give(ends.err); break;
    case rpc::StreamName::header: give(ends.header); break;
    case rpc::StreamName::log:
      if (ends.log) give([&](BytesView bytes) { ends.log(chunk.marks.log, bytes); });
      break;
  }
}

void DrivenCall::feed() {
  Block piece;
  const auto buffer = piece.payload().first(call_.room());
  const std::size_t count = std::min(operation_.ends.in(buffer), buffer.size());
  operation_.moved.add_in(count);
  if (count > 0) return call_.send(std::move(piece), count);
  feeds_ = false;
  call_.end_input();
}

}  // namespace remsh
