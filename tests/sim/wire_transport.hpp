// WireTransport: one side of a simulated wire, as a Peer reads and writes it.
#pragma once

#include "sim/wire.hpp"
#include "sim/world.hpp"

#include <remsh/transport/transport.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace remsh::sim {

/// A transport whose reads and waits let everything else happen until they are over, as they do in threads. Its events
/// come late at times. One thread.
class WireTransport final : public Transport {
 public:
  /// What a run knows of a transport that it has given away.
  struct Fate {
    bool is_destroyed = false;
    bool is_misused = false;  // two read or two wrote at once, or it was destroyed while one did
  };

  /// `step` does what happens next.
  WireTransport(World& world, Wire& wire, std::size_t side, std::function<void()> step, Fate& fate)
      : world_(world), wire_(wire), side_(side), step_(std::move(step)), fate_(fate) {
    wire_.sides[side_].on_bytes = [this](BytesView bytes) {
      came_ += bytes;
      tell();
    };
    wire_.sides[side_].on_end = [this] {
      has_ended_ = true;
      tell();
    };
    wire_.sides[side_].on_room = [this] { tell(); };
  }

  ~WireTransport() override {
    fate_.is_misused = fate_.is_misused || reads_ || writes_;
    fate_.is_destroyed = true;
    shut_down();
    wire_.sides[side_] = {[](BytesView) {}, [] {}, [] {}};
  }

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    const Inside inside(reads_, fate_);
    wait_for(Ready::read, wait);
    if (!came_.empty()) {  // also after a shutdown
      std::size_t count = std::min(buffer.size(), came_.size());
      if (world_.chance.one_in(4)) count = 1 + world_.chance.size(count - 1);
      std::memcpy(buffer.data(), came_.data(), count);
      came_.erase(0, count);
      return IoResult::moved(count);
    }
    return is_shut_ || has_ended_ ? IoResult::ended() : IoResult::blocked();
  }

  IoResult write_some(std::span<const std::string_view> buffers) override {
    const Inside inside(writes_, fate_);
    if (is_shut_) return IoResult::broken(EPIPE);
    std::size_t written = 0;
    bool is_broken = false;
    for (const std::string_view buffer : buffers) {
      std::size_t taken = wire_.write(side_, buffer, is_broken);
      if (is_broken && !has_ended_) taken = buffer.size();  // lost: that nobody takes it is not known here yet
      written += taken;
      if (taken < buffer.size()) break;
    }
    if (written > 0) return IoResult::moved(written);
    return is_broken ? IoResult::broken(EPIPE) : IoResult::blocked();
  }

  Ready wait(Ready directions, Duration wait) override {
    const Inside inside(reads_, fate_);
    return wait_for(directions, wait);
  }

  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    watcher_ = &watcher;
    armed_ = directions;
    token_ = token;
    tell();
  }

  void disarm_for_good(Watcher&) noexcept override { watcher_ = nullptr; }

  void shutdown() noexcept override {
    shut_down();
    tell();
  }

  [[nodiscard]] std::string description() const override { return "a wire"; }

 private:
  /// One thread at a time is within an action.
  class Inside {
   public:
    Inside(bool& is_inside, Fate& fate) : is_inside_(is_inside) {
      fate.is_misused = std::exchange(is_inside_, true) || fate.is_misused;
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() { is_inside_ = false; }

   private:
    bool& is_inside_;
  };

  [[nodiscard]] Ready ready(Ready wanted) const {
    const bool reads = is_shut_ || has_ended_ || !came_.empty();
    const bool writes = is_shut_ || wire_.takes(side_);
    return wanted & ((reads ? Ready::read : Ready::none) | (writes ? Ready::write : Ready::none));
  }

  Ready wait_for(Ready directions, Duration wait) {
    const TimePoint until = world_.now() + wait;
    if (wait > Duration::zero()) world_.at(until, [] {});
    while (ready(directions) == Ready::none && world_.now() < until) step_();
    return ready(directions);
  }

  void tell() {
    if (watcher_ == nullptr) return;
    const Ready now = ready(armed_);
    if (now == Ready::none) return;
    armed_ = Ready::none;
    if (world_.chance.one_in(2)) return watcher_->notify(token_, now);
    world_.after(world_.chance.up_to(std::chrono::milliseconds(5)),
                 [watcher = watcher_, token = token_, now] { watcher->notify(token, now); });
  }

  void shut_down() noexcept {
    if (std::exchange(is_shut_, true)) return;
    wire_.close(side_);
  }

  World& world_;
  Wire& wire_;
  const std::size_t side_;
  const std::function<void()> step_;
  Fate& fate_;
  Bytes came_;
  bool has_ended_ = false;
  bool is_shut_ = false;
  bool reads_ = false;
  bool writes_ = false;
  Watcher* watcher_ = nullptr;
  Ready armed_ = Ready::none;
  std::uint64_t token_ = 0;
};

}  // namespace remsh::sim
