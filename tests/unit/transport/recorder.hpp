// Recorder: what a loop told; settle(): the moment when it has told everything.
#pragma once

#include "transport/loop.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

namespace remsh::test {

/// Returns when the loop has been through everything that was there before: functions, events and timers due.
inline void settle(Loop& loop) {
  for (int turn = 0; turn < 3; ++turn) {
    std::promise<void> done;
    loop.at(TimePoint::min(), [&] { loop.post([&] { done.set_value(); }); });
    done.get_future().get();
  }
}

/// Records what it is told.
struct Recorder final : Watched {
  void on_ready(std::uint32_t number, Ready directions) override {
    {
      const std::lock_guard lock(mutex);
      events.emplace_back(number, directions);
    }
    changed.notify_all();
  }
  void wait_for(std::size_t count) {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(60), [&] { return events.size() >= count; }));
  }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return events.size();
  }
  std::pair<std::uint32_t, Ready> event(std::size_t i) {
    const std::lock_guard lock(mutex);
    return events[i];
  }

 private:
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::pair<std::uint32_t, Ready>> events;
};

}  // namespace remsh::test
