// Wire: a connection in virtual time: it delays, holds so much and no more, and is cut at any byte.
#pragma once

#include "sim/world.hpp"

#include <remsh/base/bytes.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <string>
#include <utility>

namespace remsh::sim {

/// Both directions, numbered by the side that writes: 0 and 1.
class Wire {
 public:
  struct Options {
    Duration max_delay{};       // of a piece
    std::size_t capacity = 0;   // bytes of one direction that are under way
    std::size_t max_piece = 0;  // what one write takes at most
  };

  enum class Cut : std::uint8_t {
    loud,    // both sides are told, after what still comes
    silent,  // nothing comes any more, in neither direction
    deaf,    // nothing comes any more in the direction that was cut
  };

  /// What a side is told; never within a call of its own.
  struct Side {
    std::function<void(BytesView)> on_bytes;
    std::function<void()> on_end;
    std::function<void()> on_room;
  };

  Wire(World& world, const Options& options) : world_(world), options_(options) {}

  std::array<Side, 2> sides;

  /// It will be cut when so many bytes of a side have been written.
  void cut_at(std::size_t side, std::uint64_t byte, Cut how) {
    cut_side_ = side;
    cut_byte_ = byte;
    cut_how_ = how;
  }

  /// How many bytes were taken; none if there is no room. Broken: nothing will ever be taken.
  std::size_t write(std::size_t side, BytesView bytes, bool& is_broken) {
    Direction& direction = directions_[side];
    is_broken = direction.is_closed;
    if (is_broken) return 0;
    if (!takes(side)) return 0;
    const std::size_t room = options_.capacity - direction.under_way;
    std::size_t taken = std::min({bytes.size(), room, options_.max_piece});
    if (taken > 0 && world_.chance.one_in(3)) taken = 1 + static_cast<std::size_t>(world_.chance.below(taken));
    const bool cuts = !is_cut() && side == cut_side_ && direction.written + taken >= cut_byte_;
    if (cuts) taken = static_cast<std::size_t>(cut_byte_ - direction.written);
    direction.written += taken;
    direction.under_way += taken;
    if (taken > 0 && !direction.is_dead) send(side, bytes.substr(0, taken));
    if (cuts) cut();
    return taken;
  }

  /// Whether a write would not block: as a socket, not while there is only a little room, or each byte would come
  /// alone.
  [[nodiscard]] bool takes(std::size_t side) const noexcept {
    const Direction& direction = directions_[side];
    const std::size_t room = options_.capacity - direction.under_way;
    return direction.is_closed || (room > 0 && room >= options_.capacity / 4);
  }

  /// Shuts both directions down: this side is told at once, the other one after what is under way.
  void close(std::size_t side) {
    Direction& in = directions_[1 - side];
    in.pieces.clear();
    in.is_closed = true;
    end(1 - side, world_.now());
    if (!directions_[side].is_dead) end(side, arrival(side));
    directions_[side].is_closed = true;
  }

  /// Where what was planned by cut_at(), or now.
  void cut() {
    if (is_cut()) return;
    cut_time_ = world_.now();
    world_.note("the wire is cut, " + std::string(cut_how_ == Cut::loud ? "loudly" : "silently") + ", at byte " +
                std::to_string(directions_[cut_side_].written) + " of side " + std::to_string(cut_side_));
    for (const std::size_t side : {cut_side_, 1 - cut_side_}) {
      Direction& direction = directions_[side];
      if (cut_how_ == Cut::deaf && side != cut_side_) continue;
      if (side != cut_side_) truncate(direction);
      if (cut_how_ == Cut::loud) {
        direction.is_closed = true;
        end(side, arrival(side));
      } else {
        direction.is_dead = true;
      }
    }
  }

  [[nodiscard]] bool is_cut() const noexcept { return cut_time_ != TimePoint::max(); }
  [[nodiscard]] TimePoint cut_time() const noexcept { return cut_time_; }
  [[nodiscard]] Cut cut_how() const noexcept { return cut_how_; }
  [[nodiscard]] bool is_empty() const noexcept {
    return directions_[0].under_way == 0 && directions_[1].under_way == 0;
  }
  [[nodiscard]] std::size_t under_way(std::size_t side) const noexcept { return directions_[side].under_way; }

 private:
  struct Direction {
    std::deque<Bytes> pieces;
    std::size_t under_way = 0;
    std::uint64_t written = 0;
    TimePoint last_arrival{};
    bool is_dead = false;    // what is written goes nowhere
    bool is_closed = false;  // nothing is taken any more
    bool has_ended = false;
  };

  TimePoint arrival(std::size_t side) {
    Direction& direction = directions_[side];
    direction.last_arrival = std::max(direction.last_arrival, world_.now() + world_.chance.up_to(options_.max_delay));
    return direction.last_arrival;
  }

  void send(std::size_t side, BytesView bytes) {
    directions_[side].pieces.emplace_back(bytes);
    world_.at(arrival(side), [this, side] { deliver(side); });
  }

  /// One piece comes, at once or in parts. (One that was taken away meanwhile does not.)
  void deliver(std::size_t side) {
    Direction& direction = directions_[side];
    if (direction.pieces.empty() || direction.has_ended) return;
    const Bytes piece = std::move(direction.pieces.front());
    direction.pieces.pop_front();
    direction.under_way -= piece.size();
    for (BytesView rest = piece; !rest.empty() && !direction.has_ended;) {
      const std::size_t part = world_.chance.one_in(2) ? rest.size() : 1 + world_.chance.size(rest.size() - 1);
      sides[1 - side].on_bytes(rest.substr(0, part));
      rest.remove_prefix(part);
    }
    if (!direction.is_closed) sides[side].on_room();
  }

  void end(std::size_t side, TimePoint when) {
    world_.at(when, [this, side] {
      if (!std::exchange(directions_[side].has_ended, true)) sides[1 - side].on_end();
    });
  }

  /// Only some of the bytes under way will come.
  void truncate(Direction& direction) {
    std::size_t keep = static_cast<std::size_t>(world_.chance.below(direction.under_way + 1));
    for (Bytes& piece : direction.pieces) {
      const std::size_t part = std::min(keep, piece.size());
      direction.under_way -= piece.size() - part;
      piece.resize(part);
      keep -= part;
    }
  }

  World& world_;
  const Options options_;
  std::array<Direction, 2> directions_;
  std::size_t cut_side_ = 0;
  std::uint64_t cut_byte_ = std::numeric_limits<std::uint64_t>::max();
  Cut cut_how_ = Cut::loud;
  TimePoint cut_time_ = TimePoint::max();
};

}  // namespace remsh::sim
