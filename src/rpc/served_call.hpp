// ServedCall: one call that the other side made, as the code that does it sees it.
#pragma once

#include "base/result.hpp"
#include "connection/block.hpp"
#include "rpc/stream.hpp"

#include <remsh/connection/box.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace remsh::rpc {

/// One call that the other side made: its arguments, its streams, and the one answer it gets. Thread-safe.
///
/// Exactly one of answer() and fail() takes effect, the first; where none was made when the last reference goes, the
/// call is failed. Streams are used in one of two ways: blocking, by an operation that has a thread (write, read), or
/// without blocking, by one that is woken when it can go on (room, send, take; on_change or run_on_change).
class ServedCall {
 public:
  virtual ~ServedCall() = default;

  [[nodiscard]] virtual const std::string& command() const noexcept = 0;

  /// The arguments; continuations are joined already, so values may be longer than on the wire.
  [[nodiscard]] virtual const Box& arguments() const noexcept = 0;

  virtual void answer(Box results) = 0;
  virtual void fail(Failure failure) = 0;

  /// The caller wants it to stop, or is gone. Stays true.
  [[nodiscard]] virtual bool cancelled() const = 0;

  /// Cancelled because the connection has ended: nobody is there for the answer.
  [[nodiscard]] virtual bool lost() const { return false; }

  // Blocking, for an operation on a thread of its own.

  /// How long the whole output will be, where that is known; travels with the first piece of it.
  virtual void announce_total(std::uint64_t bytes) = 0;

  /// Sends the first `count` bytes of the block's payload; waits for credit and room. False: cancelled.
  virtual bool write(StreamName stream, Block block, std::size_t count) = 0;

  /// The next piece of the input, which lives until the next call; empty at the end of it. Nothing: cancelled.
  virtual std::optional<std::string_view> read() = 0;

  // Without blocking, for an operation that holds no thread while it waits.

  /// How many bytes send() takes now; 0 without credit or room.
  [[nodiscard]] virtual std::size_t room(StreamName stream) const = 0;

  /// Sends the first `count` <= room() bytes of the block's payload.
  virtual void send(StreamName stream, Block block, std::size_t count) = 0;

  /// Writes out what send() queued; once for several.
  virtual void flush() = 0;

  /// The next piece of the input: nothing yet, or an empty one at the end.
  virtual std::optional<Chunk> take() = 0;

  /// A piece was used up: the caller may send as much again.
  virtual void consumed(const Chunk& chunk) = 0;

  /// Called, from any thread and without a lock of ours, when there is room again, input, or it is cancelled. At most
  /// one call is under way; set before anything is sent. Cleared by the answer.
  virtual void on_change(std::function<void()> callback) = 0;

  /// The same for an operation that runs in steps which may block, as on a disk: each runs on a thread for operations,
  /// the first one soon. Between two steps the operation holds no thread. A step must not throw.
  virtual void run_on_change(std::function<void()> step) = 0;
};

}  // namespace remsh::rpc
