#include "os/service_threads.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;

/// Time that passes when the test says so. Thread-safe.
class TestTime {
 public:
  [[nodiscard]] ServiceThreads::Later later() {
    return [this](Duration, std::function<void()> function) {
      const std::lock_guard lock(mutex_);
      functions_.push_back(std::move(function));
    };
  }

  /// Runs what is due; false where nothing is.
  bool pass() {
    std::vector<std::function<void()>> due;
    {
      const std::lock_guard lock(mutex_);
      due.swap(functions_);
    }
    for (const auto& function : due) function();
    return !due.empty();
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> functions_;
};

/// Where functions block until the test lets them go. Thread-safe.
class TestGate {
 public:
  void block() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ >= count; });
  }
  [[nodiscard]] int inside() {
    const std::lock_guard lock(mutex_);
    return inside_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

}  // namespace

TEST_CASE("functions that block hold up no others, however many they are") {
  TestTime clock;
  TestGate gate;
  ServiceThreads threads({.most = 1000}, clock.later());
  constexpr int count = 50;
  for (int i = 0; i < count; ++i) threads.post([&gate] { gate.block(); });
  while (gate.inside() < count) {
    if (!clock.pass()) std::this_thread::yield();
  }
  CHECK(threads.size() == count);
  gate.open();
  threads.stop();
}

TEST_CASE("no more threads are started than are allowed, and what is posted beyond them waits") {
  TestTime clock;
  TestGate gate;
  std::atomic<int> done = 0;
  ServiceThreads threads({.most = 6}, clock.later());
  for (int i = 0; i < 10; ++i) {
    threads.post([&] {
      gate.block();
      ++done;
    });
  }
  while (gate.inside() < 6) {
    if (!clock.pass()) std::this_thread::yield();
  }
  while (clock.pass()) {
  }
  CHECK(threads.size() == 6);
  CHECK(gate.inside() == 6);
  gate.open();
  threads.stop();
  CHECK(done == 10);
}

TEST_CASE("functions that are soon done share a few threads") {
  TestTime clock;
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int> left = 1000;
  ServiceThreads threads({.most = 1000}, clock.later());
  for (int i = 0; i < 1000; ++i) {
    threads.post([&] {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
      --left;
    });
  }
  while (left > 0) std::this_thread::yield();
  CHECK(seen.size() <= ServiceThreads::prompt);
}

TEST_CASE("threads that have nothing to do end, all but one") {
  TestTime clock;
  TestGate gate;
  ServiceThreads threads({.most = 32, .idle_time = 1ms}, clock.later());
  for (int i = 0; i < 4; ++i) threads.post([&gate] { gate.block(); });
  gate.wait_for(4);
  CHECK(threads.size() == 4);
  gate.open();
  while (threads.size() > 1) std::this_thread::yield();
  std::atomic<bool> ran = false;
  threads.post([&] { ran = true; });
  threads.stop();
  CHECK(ran);
  CHECK(threads.size() == 0);
}

}  // namespace remsh
