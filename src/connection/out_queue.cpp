#include "connection/out_queue.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace remsh {

namespace {
constexpr std::size_t text_segment = 16 * 1024;  // small boxes share one
constexpr std::size_t small_box = 8 * 1024;
}  // namespace

void OutQueue::append(Lane& lane, BytesView box, bool is_data) {
  if (lane.empty() || lane.back().is_whole || lane.back().text.size() + box.size() > text_segment) {
    lane.emplace_back().is_data = is_data;
  }
  lane.back().text.append(box);
}

void OutQueue::push_control(BytesView box) {
  control_bytes_ += box.size();
  append(control_, box, false);
}

void OutQueue::push_ordered(BytesView box) {
  data_bytes_ += box.size();
  append(data_, box, true);
}

void OutQueue::push_data(Block block) {
  data_bytes_ += block.box().size();
  Segment& segment = data_.emplace_back();
  segment.is_data = segment.is_whole = true;
  if (block.box().size() <= small_box) {
    segment.text = block.box();
  } else {
    segment.block = std::move(block);
  }
}

std::size_t OutQueue::gather(std::span<std::string_view> views) {
  assert(!writing_);
  writing_ = true;
  std::size_t count = 0;
  std::size_t data = 0;
  for (const Segment& segment : flight_) {
    if (segment.is_data) data += segment.rest().size();
    views[count++] = segment.rest();
  }
  while (count < views.size() && !control_.empty()) {
    control_bytes_ -= control_.front().text.size();
    flight_.splice(flight_.end(), control_, control_.begin());
    views[count++] = flight_.back().rest();
  }
  while (count < views.size() && !data_.empty()) {
    const std::size_t size = data_.front().rest().size();
    if (data > 0 && data + size > max_data_per_write) break;  // one box alone may be larger
    flight_.splice(flight_.end(), data_, data_.begin());
    views[count++] = flight_.back().rest();
    data += size;
  }
  return count;
}

void OutQueue::written(std::size_t bytes) {
  assert(writing_);
  writing_ = false;
  if (std::exchange(dropped_, false)) {
    flight_.clear();
    return;
  }
  while (!flight_.empty()) {
    Segment& segment = flight_.front();
    const std::size_t taken = std::min(bytes, segment.rest().size());
    if (segment.is_data) data_bytes_ -= taken;
    bytes -= taken;
    segment.done += taken;
    if (!segment.rest().empty()) break;
    flight_.pop_front();
  }
  // What is untouched goes back to its lane, so that later control boxes still overtake it.
  const auto keep = !flight_.empty() && flight_.front().done > 0 ? std::next(flight_.begin()) : flight_.begin();
  auto data = keep;
  while (data != flight_.end() && !data->is_data) ++data;
  for (auto segment = keep; segment != data; ++segment) control_bytes_ += segment->text.size();
  control_.splice(control_.begin(), flight_, keep, data);
  data_.splice(data_.begin(), flight_, data, flight_.end());
}

void OutQueue::clear() {
  control_.clear();
  data_.clear();
  data_bytes_ = 0;
  control_bytes_ = 0;
  if (writing_) {
    dropped_ = true;
  } else {
    flight_.clear();
  }
}

}  // namespace remsh
