// ServedCall: one incoming call, as the code that executes it sees it.
#pragma once

#include "base/intrusive_list.hpp"
#include "base/result.hpp"
#include "base/stream_counts.hpp"
#include "connection/block.hpp"
#include "rpc/stream.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/connection/box.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace remsh::rpc {

class ServedCalls;

/// One incoming call: its arguments, its streams, and the one answer it gets. Thread-safe.
///
/// Only the first answer() or fail() takes effect. If there was none when the last reference goes, the call is failed.
/// An operation uses the streams in one of two ways: blocking, if it has a thread (write, read), or without blocking,
/// if it is woken when it can go on (room, send, take; on_change or run_on_change).
class ServedCall : public ListLink<ServedCall> {
 public:
  ServedCall() = default;
  virtual ~ServedCall();

  [[nodiscard]] virtual const std::string& command() const noexcept = 0;

  /// The arguments. Long values are joined already, so values may be longer than on the wire.
  [[nodiscard]] virtual const Box& arguments() const noexcept = 0;

  virtual void answer(Box results) = 0;
  virtual void fail(Failure failure) = 0;

  /// Whether the caller wants it to stop, or is gone. Stays true.
  [[nodiscard]] virtual bool cancelled() const = 0;

  /// Whether it is cancelled because the connection has ended: the answer will reach nobody.
  [[nodiscard]] virtual bool lost() const { return false; }

  // Blocking, for an operation on a thread of its own.

  /// Sets the length of the whole output, if it is known. It is sent with the first piece of the output.
  virtual void announce_total(std::uint64_t bytes) = 0;

  /// Sends the first `count` bytes of the block's payload; waits for credit and room. False if the call is cancelled.
  virtual bool write(StreamName stream, Block block, std::size_t count) = 0;

  /// The next piece of the input, valid until the next call; empty at the end of the input. nullopt if the call is
  /// cancelled.
  virtual std::optional<std::string_view> read() = 0;

  // Without blocking, for an operation that holds no thread while it waits.

  /// How many bytes send() accepts now; 0 without credit or room.
  [[nodiscard]] virtual std::size_t room(StreamName stream) const = 0;

  /// Sends the first `count` <= room() bytes of the block's payload. Different threads may send on different streams.
  virtual void send(StreamName stream, Block block, std::size_t count, const PieceMarks& marks = {}) = 0;

  /// Writes what send() queued. Call it once after several sends.
  virtual void flush() = 0;

  /// The next piece of the input: nullopt if there is none yet, an empty chunk at the end.
  virtual std::optional<Chunk> take() = 0;

  /// A piece was used up: the caller may send that much more.
  virtual void consumed(const Chunk& chunk) = 0;

  /// Sets a callback that runs, on any thread and without a lock of ours, when there is room or input, or when the call
  /// is cancelled. At most one callback runs at a time. Set it before sending anything. The answer clears it.
  virtual void on_change(std::function<void()> callback) = 0;

  /// The same for an operation that runs in steps which may block, for example on a disk. Each step runs on a thread
  /// for operations, the first one soon. Between two steps the operation holds no thread. A step must not throw.
  virtual void run_on_change(std::function<void()> step) = 0;

  /// Runs `step` on a thread for operations when the call is cancelled, or soon if it is cancelled already; perhaps
  /// more than once. For an operation that uses the streams blocking, and neither of the two functions above. It must
  /// not throw.
  virtual void run_on_cancel(std::function<void()> step) {
    run_on_change([this, step = std::move(step)] {
      if (cancelled()) step();
    });
  }

  // Calls for an operation in progress, as `interrupt` is one for `execute`.

  /// Hands this call over to the call `op` of the same connection, which will answer it. Returns false if there is no
  /// such call, or it is for another operation than `command`.
  virtual bool hand_over_to(BytesView /*op*/, BytesView /*command*/) { return false; }

  /// The next call that was handed over to this one; null if there is none. on_change() tells of new ones. When this
  /// call is answered, those that were not taken are answered without results.
  virtual std::shared_ptr<ServedCall> take_request() { return nullptr; }

  // What others see of the call while it runs.

  /// Adds the call to the list. Call it once, before the code that executes the call has it.
  void list_in(std::shared_ptr<ServedCalls> list);

  /// Its number in the list, and when it was listed.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] TimePoint since() const noexcept { return since_; }

  [[nodiscard]] const StreamCounts& moved() const noexcept { return moved_; }

  /// The process that executes the call, if there is one.
  void set_process(int id) noexcept { process_ = id; }
  [[nodiscard]] std::optional<int> process() const noexcept {
    const int id = process_;
    return id == 0 ? std::nullopt : std::optional(id);
  }

 protected:
  /// Removes the call from the list: when it gets its answer, and at the beginning of the destructor.
  void unlist() noexcept;

  [[nodiscard]] StreamCounts& counts() noexcept { return moved_; }

 private:
  std::shared_ptr<ServedCalls> list_;  // null if it was never listed
  std::uint64_t number_ = 0;
  TimePoint since_{};
  StreamCounts moved_;
  std::atomic<int> process_ = 0;
};

}  // namespace remsh::rpc
