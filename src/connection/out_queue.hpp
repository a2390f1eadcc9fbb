// OutQueue: encoded boxes that wait to be sent; control before data. No I/O.
#pragma once

#include "connection/block.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace remsh {

/// The boxes that wait to be written, in two lanes. Control boxes overtake data, but are never inserted into a box or a
/// run of control boxes that is partly written. Each lane keeps its order. Takes one pointer of memory while it is
/// empty.
///
/// One write at a time: call gather(), write the views without a lock, call written(). Boxes may be pushed during the
/// write. Otherwise one thread at a time.
class OutQueue {
 public:
  /// One write has at most this much data, so that control boxes never wait for more.
  static constexpr std::size_t max_data_per_write = 256 * 1024;

  /// Queues an encoded box that may overtake data.
  void push_control(BytesView box);

  /// Queues an encoded box behind all data queued so far.
  void push_ordered(BytesView box);

  /// Queues a framed block behind all data queued so far. A block with little data is copied, to free its memory.
  void push_data(Block block);

  /// Queues the last box, behind the queued control boxes and partly written segments. Other data is dropped, and so is
  /// everything pushed later.
  void finish(BytesView box);

  [[nodiscard]] bool empty() const noexcept { return !lanes_ || lanes_->empty(); }

  /// Bytes in the data lane, including those being written.
  [[nodiscard]] std::size_t data_bytes() const noexcept { return lanes_ ? lanes_->data_bytes : 0; }

  /// Bytes in the control lane, without those being written.
  [[nodiscard]] std::size_t control_bytes() const noexcept { return lanes_ ? lanes_->control_bytes : 0; }

  /// What to write next, as views that are valid until written(). Returns how many of `views` were filled.
  std::size_t gather(std::span<std::string_view> views);

  /// Reports how many bytes of the views of gather() were written.
  void written(std::size_t bytes);

  /// Drops everything; segments that are being written are dropped in written().
  void clear();

 private:
  struct Segment {
    Bytes text;                  // one or more whole boxes, or
    std::optional<Block> block;  // one framed box
    bool is_data = false;
    bool is_whole = false;  // no box may be appended
    std::size_t done = 0;   // bytes written

    [[nodiscard]] std::string_view rest() const noexcept {
      return (block ? block->box() : std::string_view(text)).substr(done);
    }
  };
  using Lane = std::list<Segment>;

  struct Lanes {
    Lane flight;  // in the order of writing: the partly written segment; during a write, all segments of that write
    Lane control;
    Lane data;
    std::size_t data_bytes = 0;
    std::size_t control_bytes = 0;
    Lane spare;  // one empty segment at most, whose memory the next small boxes use
    bool writing = false;
    bool dropped = false;   // clear() was called during a write
    bool finished = false;  // finish() was called

    [[nodiscard]] bool empty() const noexcept { return flight.empty() && control.empty() && data.empty(); }
  };

  static void append(Lanes& lanes, Lane& lane, BytesView box, bool is_data);
  static void drop(Lanes& lanes, Lane& lane, Lane::iterator from);

  Lanes& lanes();
  void give_back() noexcept;

  std::unique_ptr<Lanes> lanes_;
};

}  // namespace remsh
