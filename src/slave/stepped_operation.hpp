// SteppedOperation: an operation that moves much data, and holds no thread while it waits for its caller.
#pragma once

#include "base/result.hpp"
#include "connection/block.hpp"
#include "rpc/served_call.hpp"
#include "slave/add_operation.hpp"
#include "slave/dispatcher.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

namespace remsh {

/// An operation that moves data in steps. Each step runs on a worker and moves as much as it can; between two steps the
/// operation holds no thread. Create it with std::make_shared. It lives until its call is answered.
class SteppedOperation : public std::enable_shared_from_this<SteppedOperation> {
 public:
  virtual ~SteppedOperation() = default;
  SteppedOperation(const SteppedOperation&) = delete;
  SteppedOperation& operator=(const SteppedOperation&) = delete;

  void start() {
    call_->run_on_change([self = shared_from_this()] { run_guarded(*self->call_, [&] { self->step(); }); });
  }

 protected:
  explicit SteppedOperation(std::shared_ptr<rpc::ServedCall> call) : call_(std::move(call)) {}

  /// Moves pieces until there is no room or no input, or answers the call.
  virtual void step() = 0;

  /// Fails the call. Overridden by what has to be undone first.
  virtual void end(Failure failure) { call_->fail(std::move(failure)); }

  /// Sends what `read` reads into a buffer, as far as there is room: Result<std::size_t> read(std::span<char>). Calls
  /// `at_end`, which answers the call, when it reads nothing.
  template <class Read, class AtEnd>
  void send_all(Read read, AtEnd at_end) {
    for (;;) {
      if (call_->cancelled()) return end(stopped());
      const std::size_t room = call_->room(rpc::StreamName::out);
      if (room == 0) break;
      Block piece;
      const Result<std::size_t> count = read(piece.payload().first(std::min(room, Block::max_payload)));
      if (!count) return end(count.failure());
      if (*count == 0) return at_end();
      call_->send(rpc::StreamName::out, std::move(piece), *count);
      call_->flush();  // so that the caller takes it while the next one is read
    }
  }

  /// Passes the input that has come to `write`: Result<void> write(BytesView). Calls `at_end`, which answers the call,
  /// when the input is complete.
  template <class Write, class AtEnd>
  void take_all(Write write, AtEnd at_end) {
    for (;;) {
      if (call_->cancelled()) return end(stopped());
      const auto chunk = call_->take();
      if (!chunk) return;
      if (chunk->last) return at_end();
      if (Result<void> written = write(chunk->bytes()); !written) return end(std::move(written).failure());
      call_->consumed(*chunk);
    }
  }

  [[nodiscard]] rpc::ServedCall& call() const noexcept { return *call_; }

 private:
  const std::shared_ptr<rpc::ServedCall> call_;
};

}  // namespace remsh
