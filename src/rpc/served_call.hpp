// ServedCall: one call that the other side made, as the code that does it sees it.
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

/// One call that the other side made: its arguments, its streams, and the one answer it gets. Thread-safe.
///
/// Exactly one of answer() and fail() takes effect, the first; where none was made when the last reference goes, the
/// call is failed. Streams are used in one of two ways: blocking, by an operation that has a thread (write, read), or
/// without blocking, by one that is woken when it can go on (room, send, take; on_change or run_on_change).
class ServedCall : public ListLink<ServedCall> {
 public:
  ServedCall() = default;
  virtual ~ServedCall();

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

  /// Has `step` run on a thread for operations when it is cancelled, or soon if it is already, and perhaps more than
  /// once. For an operation that uses the streams blocking, and neither of the two above. It must not throw.
  virtual void run_on_cancel(std::function<void()> step) {
    run_on_change([this, step = std::move(step)] {
      if (cancelled()) step();
    });
  }

  // What others see of it while it is done.

  /// It is listed from now on. Once, before the code that does it has it.
  void list_in(std::shared_ptr<ServedCalls> list);

  /// Its number in the list, and when it was listed.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] TimePoint since() const noexcept { return since_; }

  [[nodiscard]] const StreamCounts& moved() const noexcept { return moved_; }

  /// The process that does it, where there is one.
  void set_process(int id) noexcept { process_ = id; }
  [[nodiscard]] std::optional<int> process() const noexcept {
    const int id = process_;
    return id == 0 ? std::nullopt : std::optional(id);
  }

 protected:
  /// It is not listed any more: when it gets its answer, and at the beginning of the destructor.
  void unlist() noexcept;

  [[nodiscard]] StreamCounts& counts() noexcept { return moved_; }

 private:
  std::shared_ptr<ServedCalls> list_;  // null: it was never listed
  std::uint64_t number_ = 0;
  TimePoint since_{};
  StreamCounts moved_;
  std::atomic<int> process_ = 0;
};

}  // namespace remsh::rpc
