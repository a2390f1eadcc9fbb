// OutQueue: encoded boxes on their way out; control before data. No I/O.
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

/// The boxes that wait to be written, in two lanes: control boxes overtake data, but never enter a box or a run of
/// control boxes that is partly written. Within a lane the order is kept. Costs a pointer until it is used, and after
/// give_back().
///
/// One write at a time: gather(), write without a lock what it gave, written(). Boxes may be pushed meanwhile.
/// One thread at a time, else.
class OutQueue {
 public:
  /// One write takes at most this much data, so that control boxes never wait for more.
  static constexpr std::size_t max_data_per_write = 256 * 1024;

  /// An encoded box that may overtake data.
  void push_control(BytesView box);

  /// An encoded box that goes behind all data queued so far.
  void push_ordered(BytesView box);

  /// A framed block, behind all data queued so far. One with little in it is copied, so that its memory is not held.
  void push_data(Block block);

  /// The last box: it goes behind the control boxes that are queued and what is partly written. Other data is dropped,
  /// and so is all that is pushed from now on.
  void finish(BytesView box);

  [[nodiscard]] bool empty() const noexcept { return !lanes_ || lanes_->empty(); }

  /// Bytes in the data lane, also those being written.
  [[nodiscard]] std::size_t data_bytes() const noexcept { return lanes_ ? lanes_->data_bytes : 0; }

  /// Bytes in the control lane; none of what is being written.
  [[nodiscard]] std::size_t control_bytes() const noexcept { return lanes_ ? lanes_->control_bytes : 0; }

  /// What to write next, as views that live until written(). Gives how many of `views` were filled.
  std::size_t gather(std::span<std::string_view> views);

  /// How much of what gather() gave was written.
  void written(std::size_t bytes);

  /// Drops everything; what is being written only once that is over.
  void clear();

  /// Frees what it holds for later use, where it is empty and nothing is being written.
  void give_back() noexcept {
    if (lanes_ && lanes_->empty() && !lanes_->writing && !lanes_->finished) lanes_.reset();
  }

 private:
  struct Segment {
    Bytes text;                  // one or more whole boxes, or
    std::optional<Block> block;  // one framed box
    bool is_data = false;
    bool is_whole = false;  // nothing is appended
    std::size_t done = 0;   // bytes written

    [[nodiscard]] std::string_view rest() const noexcept {
      return (block ? block->box() : std::string_view(text)).substr(done);
    }
  };
  using Lane = std::list<Segment>;

  struct Lanes {
    Lane flight;  // in the order of writing: a segment that is partly written, and during a write all of it
    Lane control;
    Lane data;
    std::size_t data_bytes = 0;
    std::size_t control_bytes = 0;
    bool writing = false;
    bool dropped = false;   // clear() came during a write
    bool finished = false;  // finish() came

    [[nodiscard]] bool empty() const noexcept { return flight.empty() && control.empty() && data.empty(); }
  };

  static void append(Lane& lane, BytesView box, bool is_data);
  static void drop(Lanes& lanes, Lane& lane, Lane::iterator from);

  Lanes& lanes() {
    if (!lanes_) lanes_ = std::make_unique<Lanes>();
    return *lanes_;
  }

  std::unique_ptr<Lanes> lanes_;
};

}  // namespace remsh
