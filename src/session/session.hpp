// Session: what two sides send each other, apart from the connection that carries it. No I/O.
#pragma once

#include "base/result.hpp"
#include "connection/out_queue.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/connection/box_codec.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace remsh {

/// The boxes of both directions, and how it ends: between the calls above, which see boxes alone, and a connection
/// below, which sees bytes alone. Pure state: no mutex, no thread, no descriptor, no clock. One thread at a time.
///
/// A connection that is gone ("cut") is not the end of the session ("over"): boxes that were sent and not acknowledged
/// are to be kept here, and a new connection attached. Until that is written, the owner of a session gives it up when
/// it is cut (decision 0034).
class Session {
 public:
  struct Options {
    Duration keepalive = std::chrono::seconds(10);  ///< a side that has sent nothing for this long pings
    Duration patience = std::chrono::seconds(10);   ///< how much longer the other side may be silent
    BoxLimits limits = {};                          ///< of the boxes that come
  };

  enum class State : std::uint8_t {
    waiting,   // for its first connection
    attached,  // to a connection
    cut,       // the connection is gone, the session is not
    over,      // for the reason over()
  };

  /// Why the other side closed on purpose.
  struct Goodbye {
    Bytes reason;
    std::optional<std::uint64_t> retry;
  };

  /// Of one direction. Boxes count when they are queued, and when they have come whole; bytes when they are written,
  /// and when they are read. So both ends agree as soon as nothing is under way.
  struct Counts {
    std::uint64_t boxes = 0;
    std::uint64_t bytes = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
  };

  explicit Session(Options&& options) = delete;  // they must outlive it
  explicit Session(const Options& options) : options_(options) {}

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_attached() const noexcept { return state_ == State::attached; }
  [[nodiscard]] bool is_cut() const noexcept { return state_ == State::cut; }
  [[nodiscard]] bool is_over() const noexcept { return state_ == State::over; }
  [[nodiscard]] const Counts& sent() const noexcept { return sent_; }
  [[nodiscard]] const Counts& received() const noexcept { return received_; }

  // --- for the calls above: boxes to send; what comes is handed on by next()

  void send_control(BytesView box);  ///< may overtake data
  void send_ordered(BytesView box);  ///< goes behind all data that is queued
  void send_data(Block framed);      ///< a framed block, behind all data that is queued
  [[nodiscard]] std::size_t control_bytes() const noexcept { return queue_.control_bytes(); }
  [[nodiscard]] std::size_t data_bytes() const noexcept { return queue_.data_bytes(); }

  /// The other side has broken the rules: over.
  void breach(Failure failure);

  /// A goodbye of the other side has come: over.
  void receive_goodbye(const BoxView& box);

  /// Null until then.
  [[nodiscard]] const Goodbye* said_goodbye() const noexcept { return ending_ ? ending_->goodbye.get() : nullptr; }

  // --- for the connection below: bytes in and out

  /// Boxes go over a connection from now on. Once, until connections can be replaced.
  void attach();

  [[nodiscard]] bool has_output() const noexcept { return !queue_.empty(); }
  /// As OutQueue: one write at a time.
  std::size_t gather(std::span<std::string_view> views) { return queue_.gather(views); }
  void written(std::size_t bytes);
  /// The connection takes nothing any more.
  void drop_output() { queue_.clear(); }

  /// What one read gave: ask next() until it returns null. The bytes must live until then.
  void receive(BytesView bytes);
  /// The next box that has come whole; null if there is none, or if the session is over, which it then may just be.
  const BoxView* next();

  // --- the end

  /// We end it: says goodbye, once a connection is attached; nothing that comes counts any more. One that is cut is
  /// over at once, for the reason that it was cut for. False if it is over, or was closed before.
  bool close(Failure why, std::optional<std::uint64_t> retry);
  [[nodiscard]] bool is_closing() const noexcept { return closing_; }

  /// What is known already of why the connection is about to be cut; the first one counts.
  void suspect(Failure cause);

  /// The connection is gone: the other side has ended it, or it broke. A session that we are closing is over.
  void cut();
  void cut(Failure cause);

  /// A session that is cut will get no other connection: it is over, for the reason that it was cut for.
  void give_up();

  /// Over without a connection, or whatever became of it.
  void end(Failure failure);

  /// The reason; null while it is not over.
  [[nodiscard]] const Failure* over() const noexcept { return is_over() ? &ending_->cause : nullptr; }
  /// The same, also while it is cut, or we are closing it: nothing new can be begun.
  [[nodiscard]] const Failure* closed() const noexcept {
    return is_over() || is_cut() || closing_ ? &ending_->cause : nullptr;
  }

  // --- liveness: any byte counts

  enum class Pulse : std::uint8_t {
    good,
    ping_due,  // nothing was sent for a while, and nothing waits to be
    lost,      // nothing came for too long; the reason is noted as suspect() does
  };
  /// To be asked now and then; times are exact to the distance of two looks, so that the hot path reads no clock.
  Pulse look(TimePoint now);

  /// Frees what it holds for later use.
  void give_back();

 private:
  struct Ending {
    Failure cause;  // of the end, or of what will be it
    std::unique_ptr<Goodbye> goodbye;
  };

  const Options& options_;
  OutQueue queue_;
  std::unique_ptr<BoxDecoder> decoder_;  // an idle session needs none
  Counts sent_;
  Counts received_;
  std::unique_ptr<Ending> ending_;  // null while nothing is known of an end
  TimePoint last_sent_{};
  TimePoint last_received_{};
  std::uint8_t pings_ = 0;  // that were due since anything came
  State state_ = State::waiting;
  bool closing_ = false;
  bool has_sent_ = true;  // since the last look
  bool has_received_ = true;
};

/// The box that says why a side closes on purpose (docs/protocol.md section 8).
void encode_goodbye(Bytes& out, BytesView reason, std::optional<std::uint64_t> retry);

}  // namespace remsh
