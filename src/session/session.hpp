// Session: the boxes that two sides exchange, independent of the connection that carries them. No I/O.
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

/// The boxes of both directions and the end of a session, between the calls above, which see only boxes, and a
/// connection below, which sees only bytes. Pure state: no mutex, no thread, no descriptor, no clock: its owner says
/// what time it is. One thread at a time.
///
/// The loss of the connection ("cut") is not the end of the session ("over"): a session will keep unacknowledged boxes
/// and attach a new connection. Until that is implemented, the owner gives a session up when it is cut (decision 0034).
class Session {
 public:
  struct Options {
    Duration keepalive = std::chrono::seconds(10);  ///< a side that has sent nothing for this long pings; 0: off
    Duration patience = std::chrono::seconds(10);   ///< how long it then waits for an answer
    Duration ping_delay{};  ///< how much longer it waits before it pings, so that the other side does
    BoxLimits limits = {};  ///< of received boxes
  };

  enum class State : std::uint8_t {
    waiting,   // for its first connection
    attached,  // to a connection
    cut,       // the connection is gone, the session is not
    over,      // for the reason over()
  };

  /// The reason and the retry time in the other side's goodbye.
  struct Goodbye {
    Bytes reason;
    std::optional<std::uint64_t> retry;
  };

  /// What the other side has announced: it will end within this time, as soon as nothing is under way on it.
  struct Draining {
    Bytes reason;
    std::chrono::milliseconds within{0};
  };

  /// Counts of one direction. Boxes are counted when they are queued, and when they are received completely; bytes when
  /// they are written, and when they are read. So both ends agree as soon as nothing is in transit.
  struct Counts {
    std::uint64_t boxes = 0;
    std::uint64_t bytes = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
  };

  explicit Session(Options&& options) = delete;  // the options must outlive it
  explicit Session(const Options& options)
      : options_(options), keepalive_(options.keepalive), patience_(options.patience) {}

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_attached() const noexcept { return state_ == State::attached; }
  [[nodiscard]] bool is_cut() const noexcept { return state_ == State::cut; }
  [[nodiscard]] bool is_over() const noexcept { return state_ == State::over; }
  [[nodiscard]] const Counts& sent() const noexcept { return sent_; }
  [[nodiscard]] const Counts& received() const noexcept { return received_; }
  [[nodiscard]] TimePoint last_received() const noexcept { return last_received_; }

  // --- for the calls above: boxes to send; received boxes come from next()

  void send_control(BytesView box);  ///< may overtake data
  void send_ordered(BytesView box);  ///< goes behind all data that is queued
  void send_data(Block framed);      ///< a framed block, behind all data that is queued
  [[nodiscard]] std::size_t control_bytes() const noexcept { return queue_.control_bytes(); }
  [[nodiscard]] std::size_t data_bytes() const noexcept { return queue_.data_bytes(); }

  /// The other side has violated the protocol: ends the session.
  void breach(Failure failure);

  /// Handles a goodbye of the other side: ends the session.
  void receive_goodbye(const BoxView& box);

  /// Announces that this side will end. Once; false if it was done already, or there is no connection for it.
  bool drain(BytesView reason, std::chrono::milliseconds within);

  /// Takes such an announcement of the other side; the first one counts.
  void receive_draining(const BoxView& box);

  /// Null until the other side has announced that it will end.
  [[nodiscard]] const Draining* draining() const noexcept { return draining_.get(); }

  /// Null until a goodbye is received.
  [[nodiscard]] const Goodbye* said_goodbye() const noexcept { return ending_ ? ending_->goodbye.get() : nullptr; }

  // --- for the connection below: bytes in and out

  /// Attaches a connection. Once, until connections can be replaced.
  void attach(TimePoint now);

  [[nodiscard]] bool has_output() const noexcept { return !queue_.empty(); }
  /// As OutQueue::gather(): one write at a time.
  std::size_t gather(std::span<std::string_view> views) { return queue_.gather(views); }
  void written(std::size_t bytes, TimePoint now);
  /// The connection accepts no more output: drops it.
  void drop_output() { queue_.clear(); }

  /// Takes the bytes of one read, which must live until next() has returned null. The first `again` of them are those
  /// of take_unfinished().
  void receive(BytesView bytes, TimePoint now, std::size_t again = 0);
  /// After a large read: moves the beginning of an incomplete box to the front of the memory that is read into next, so
  /// that the whole box will lie there. Returns the number of its bytes, which are to be received again.
  [[nodiscard]] std::size_t take_unfinished(std::span<char> memory);
  /// The next complete box. Null if there is none, or if the session is over, which this call may cause.
  const BoxView* next();

  // --- the end

  /// Closes the session from this side: sends a goodbye when a connection is attached; input is ignored from now on. A
  /// session that is cut is over at once, with the reason of the cut. Returns false if it is over or closed already.
  bool close(Failure why, std::optional<std::uint64_t> retry);
  [[nodiscard]] bool is_closing() const noexcept { return closing_; }

  /// Notes why the connection is about to be cut; the first reason counts.
  void suspect(Failure cause);

  /// The connection is gone: the other side has ended it, or it broke. A session that is closing is over.
  void cut();
  void cut(Failure cause);

  /// Ends a session that is cut, with the reason of the cut: it gets no other connection.
  void give_up();

  /// Ends the session in any state.
  void end(Failure failure);

  /// The reason of the end; null until it is over.
  [[nodiscard]] const Failure* over() const noexcept { return is_over() ? &ending_->cause : nullptr; }
  /// Like over(), but also set while it is cut or closing: no call can begin.
  [[nodiscard]] const Failure* closed() const noexcept {
    return is_over() || is_cut() || closing_ ? &ending_->cause : nullptr;
  }

  // --- liveness: any byte counts

  enum class Pulse : std::uint8_t {
    good,
    ping_due,  // nothing was sent for a while, and nothing is queued
    lost,      // nothing was received for too long; the reason is noted as by suspect()
  };
  Pulse look(TimePoint now);

  /// When to call look() again; max() if it has nothing to do. Earlier calls do no harm.
  [[nodiscard]] TimePoint next_look(TimePoint now) const;

  /// Replaces the times of the options; they count from now on. Without a keepalive this side neither pings nor gives
  /// the other one up.
  void set_keepalive(Duration keepalive, Duration patience, TimePoint now);

  /// Frees memory that is kept for later use.
  void give_back();

 private:
  struct Ending {
    Failure cause;  // of the end, present or future
    std::unique_ptr<Goodbye> goodbye;
  };

  [[nodiscard]] bool has_pulse() const noexcept;

  const Options& options_;
  OutQueue queue_;
  std::unique_ptr<BoxDecoder> decoder_;  // an idle session needs none
  Counts sent_;
  Counts received_;
  std::unique_ptr<Ending> ending_;  // null while no end is known
  std::unique_ptr<Draining> draining_;
  Duration keepalive_;
  Duration patience_;
  TimePoint last_sent_{};
  TimePoint last_received_{};
  std::uint8_t pings_ = 0;  // pings that were due since the last input
  State state_ = State::waiting;
  bool closing_ = false;
  bool drains_ = false;  // drain() was called
  bool is_last_read_large_ = false;
};

/// Encodes the box by which a slave announces that it will end (docs/protocol.md section 5).
void encode_draining(Bytes& out, BytesView reason, std::chrono::milliseconds within);

/// Encodes the box that ends a session on purpose (docs/protocol.md section 5).
void encode_goodbye(Bytes& out, BytesView reason, std::optional<std::uint64_t> retry);

}  // namespace remsh
