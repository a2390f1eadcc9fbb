#include "connection/out_queue.hpp"

#include "base/thread_object.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace remsh {

namespace {
constexpr std::size_t text_segment = 16 * 1024;  // small boxes share a segment
constexpr std::size_t small_box = 8 * 1024;
}  // namespace

/// Those of this thread, if the queue has none: thousands of queues are empty most of the time.
OutQueue::Lanes& OutQueue::lanes() {
  if (!lanes_) lanes_ = take_spare<Lanes>();
  return *lanes_;
}

/// Gives the memory of an empty queue to the thread.
void OutQueue::give_back() noexcept {
  if (lanes_ && lanes_->empty() && !lanes_->writing && !lanes_->finished) keep_spare(std::move(lanes_));
}

void OutQueue::append(Lanes& lanes, Lane& lane, BytesView box, bool is_data) {
  if (lane.empty() || lane.back().is_whole || lane.back().text.size() + box.size() > text_segment) {
    if (lanes.spare.empty()) lanes.spare.emplace_back();
    lane.splice(lane.end(), lanes.spare, lanes.spare.begin());
    lane.back().is_data = is_data;
  }
  lane.back().text.append(box);
}

void OutQueue::push_control(BytesView box) {
  Lanes& lanes = this->lanes();
  if (lanes.finished) return;
  append(lanes, lanes.control, box, false);
  lanes.control_bytes += box.size();
}

void OutQueue::push_ordered(BytesView box) {
  Lanes& lanes = this->lanes();
  if (lanes.finished) return;
  append(lanes, lanes.data, box, true);
  lanes.data_bytes += box.size();
}

void OutQueue::push_data(Block framed) {
  Lanes& lanes = this->lanes();
  if (lanes.finished) return;
  const std::size_t size = framed.box().size();
  Segment& segment = lanes.data.emplace_back();
  segment.is_data = segment.is_whole = true;
  if (size <= small_box) {
    segment.text = framed.box();
  } else {
    segment.block = std::move(framed);
  }
  lanes.data_bytes += size;
}

void OutQueue::finish(BytesView box) {
  push_control(box);
  Lanes& lanes = this->lanes();
  lanes.finished = true;
  drop(lanes, lanes.data, lanes.data.begin());
}

/// Drops the segments of a lane from `from` on, which are data.
void OutQueue::drop(Lanes& lanes, Lane& lane, Lane::iterator from) {
  for (auto segment = from; segment != lane.end(); ++segment) lanes.data_bytes -= segment->rest().size();
  lane.erase(from, lane.end());
}

std::size_t OutQueue::gather(std::span<std::string_view> views) {
  Lanes& lanes = this->lanes();
  assert(!lanes.writing);
  lanes.writing = true;
  std::size_t count = 0;
  std::size_t data = 0;
  for (const Segment& segment : lanes.flight) {
    if (segment.is_data) data += segment.rest().size();
    views[count++] = segment.rest();
  }
  while (count < views.size() && !lanes.control.empty()) {
    lanes.control_bytes -= lanes.control.front().text.size();
    lanes.flight.splice(lanes.flight.end(), lanes.control, lanes.control.begin());
    views[count++] = lanes.flight.back().rest();
  }
  while (count < views.size() && !lanes.data.empty()) {
    const std::size_t size = lanes.data.front().rest().size();
    if (data > 0 && data + size > max_data_per_write) break;  // a single box may be larger
    lanes.flight.splice(lanes.flight.end(), lanes.data, lanes.data.begin());
    views[count++] = lanes.flight.back().rest();
    data += size;
  }
  return count;
}

void OutQueue::written(std::size_t bytes) {
  Lanes& lanes = this->lanes();
  assert(lanes.writing);
  lanes.writing = false;
  if (std::exchange(lanes.dropped, false)) {
    lanes.flight.clear();
    return give_back();
  }
  while (!lanes.flight.empty()) {
    Segment& segment = lanes.flight.front();
    const std::size_t taken = std::min(bytes, segment.rest().size());
    if (segment.is_data) lanes.data_bytes -= taken;
    bytes -= taken;
    segment.done += taken;
    if (!segment.rest().empty()) break;
    if (lanes.spare.empty() && !segment.is_whole && segment.text.capacity() <= text_segment) {
      segment.text.clear();
      segment.done = 0;
      lanes.spare.splice(lanes.spare.end(), lanes.flight, lanes.flight.begin());
    } else {
      lanes.flight.pop_front();
    }
  }
  // Segments of which nothing was written go back to their lane, so that later control boxes still overtake them.
  const auto keep =
      !lanes.flight.empty() && lanes.flight.front().done > 0 ? std::next(lanes.flight.begin()) : lanes.flight.begin();
  auto data = keep;
  while (data != lanes.flight.end() && !data->is_data) ++data;
  for (auto segment = keep; segment != data; ++segment) lanes.control_bytes += segment->text.size();
  lanes.control.splice(lanes.control.begin(), lanes.flight, keep, data);
  if (lanes.finished) {
    drop(lanes, lanes.flight, data);
  } else {
    lanes.data.splice(lanes.data.begin(), lanes.flight, data, lanes.flight.end());
  }
  give_back();
}

void OutQueue::clear() {
  if (!lanes_) return;
  Lanes& lanes = *lanes_;
  lanes.control.clear();
  lanes.data.clear();
  lanes.data_bytes = 0;
  lanes.control_bytes = 0;
  if (lanes.writing) {
    lanes.dropped = true;
  } else {
    lanes.flight.clear();
    give_back();
  }
}

}  // namespace remsh
