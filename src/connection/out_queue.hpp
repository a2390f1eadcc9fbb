// OutQueue: encoded boxes on their way out; control before data. No I/O.
#pragma once

#include "connection/block.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <list>
#include <optional>
#include <span>
#include <string_view>

namespace remsh {

/// The boxes that wait to be written, in two lanes: control boxes overtake data, but never enter a box or a run of
/// control boxes that is partly written. Within a lane the order is kept. Costs no memory while it is empty.
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

  [[nodiscard]] bool empty() const noexcept { return flight_.empty() && control_.empty() && data_.empty(); }

  /// Bytes in the data lane, also those being written.
  [[nodiscard]] std::size_t data_bytes() const noexcept { return data_bytes_; }

  /// Bytes in the control lane; none of what is being written.
  [[nodiscard]] std::size_t control_bytes() const noexcept { return control_bytes_; }

  /// What to write next, as views that live until written(). Gives how many of `views` were filled.
  std::size_t gather(std::span<std::string_view> views);

  /// How much of what gather() gave was written.
  void written(std::size_t bytes);

  /// Drops everything; what is being written only once that is over.
  void clear();

 private:
  struct Segment {
    Bytes text;                  // one or more whole boxes, or
    std::optional<Block> block;  // one framed box
    bool is_data = false;
    bool is_whole = false;  // nothing is appended
    std::size_t done = 0;  // bytes written

    [[nodiscard]] std::string_view rest() const noexcept {
      return (block ? block->box() : std::string_view(text)).substr(done);
    }
  };
  using Lane = std::list<Segment>;

  static void append(Lane& lane, BytesView box, bool is_data);

  Lane flight_;  // in the order of writing: a segment that is partly written, and during a write all of it
  Lane control_;
  Lane data_;
  std::size_t data_bytes_ = 0;
  std::size_t control_bytes_ = 0;
  bool writing_ = false;
  bool dropped_ = false;  // clear() came during a write
};

}  // namespace remsh
