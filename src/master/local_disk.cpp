// LocalDisk: work on the disk of this host that a caller can leave while the disk hangs.
#include "master/local_disk.hpp"

#include "base/format.hpp"
#include "os/threads.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

/// How many bytes may wait for the disk.
constexpr std::size_t max_ahead = std::size_t{4} * 1024 * 1024;

/// The number of threads that were left and are still stuck on a disk, and its limit.
constexpr unsigned max_left = 64;
std::atomic<unsigned> left_threads = 0;

/// How long the end of a call waits, beyond its deadline, for a disk that does not hang.
constexpr std::chrono::milliseconds grace(100);

}  // namespace

/// What the caller and the thread share. Only the thread uses the target.
struct LocalDisk::State {
  explicit State(std::unique_ptr<void, void (*)(void*)> what) : target(std::move(what)) {}

  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<std::pair<Step, std::size_t>> steps;  // each with the number of bytes that it holds
  std::size_t waiting = 0;                         // bytes in the steps, including the one in progress
  bool is_busy = false;
  bool is_left = false;
  bool is_over = false;
  bool is_given_up = false;
  std::optional<Failure> failure;  // the first one; after it no step is run
  std::unique_ptr<void, void (*)(void*)> target;

  /// An exception (no memory, no random bytes) must not leave the thread.
  static Result<void> attempt(const Step& step) noexcept {
    try {
      return step();
    } catch (const std::exception& error) {
      return Failure{Errc::local_os_error, error.what(), 0};
    }
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return is_left || !steps.empty(); });
      if (is_left) break;
      auto [step, bytes] = std::move(steps.front());
      steps.pop_front();
      is_busy = true;
      lock.unlock();
      auto done = attempt(step);
      step = {};
      lock.lock();
      is_busy = false;
      waiting -= bytes;
      if (!done) {
        failure = std::move(done).failure();
        steps.clear();
        waiting = 0;
      }
      changed.notify_all();
    }
    lock.unlock();
    target.reset();
    lock.lock();
    is_over = true;
    if (is_given_up) --left_threads;
    changed.notify_all();
  }
};

LocalDisk::LocalDisk(const Patience& patience, std::unique_ptr<void, void (*)(void*)> target)
    : patience_(patience), state_(std::make_shared<State>(std::move(target))) {
  if (patience.deadline.is_never() && !patience.stop.stop_possible()) return;
  try {
    thread_ = start_thread("remsh-disk", [state = state_] { state->work(); });
  } catch (const std::system_error&) {  // then the caller's thread does the work itself
  }
}

LocalDisk::~LocalDisk() {
  if (!thread_.joinable()) return;
  std::unique_lock lock(state_->mutex);
  state_->is_left = true;
  state_->changed.notify_all();
  if (state_->changed.wait_for(lock, grace, [this] { return state_->is_over; })) {
    lock.unlock();
    thread_.join();
  } else {
    state_->is_given_up = true;
    ++left_threads;
    thread_.detach();
  }
}

Result<void> LocalDisk::check() {
  if (left_threads < max_left) return {};
  return Failure{Errc::local_os_error, formatted("{} earlier files still wait for a disk that hangs", max_left), EIO};
}

Result<void> LocalDisk::run(Step step) { return add(std::move(step), 0, 0); }

Result<void> LocalDisk::queue(Step step, std::size_t bytes) { return add(std::move(step), bytes, max_ahead); }

/// Queues a step, and waits until no more than `ahead` bytes wait to be written.
Result<void> LocalDisk::add(Step step, std::size_t bytes, std::size_t ahead) {
  State& state = *state_;
  if (!thread_.joinable()) return step();
  std::unique_lock lock(state.mutex);
  if (state.failure) return *state.failure;
  state.steps.emplace_back(std::move(step), bytes);
  state.waiting += bytes;
  state.changed.notify_all();
  const auto is_done = [&] {
    return state.failure || (ahead > 0 ? state.waiting <= ahead : state.steps.empty() && !state.is_busy);
  };
  const TimePoint until = patience_.deadline.at();
  const bool done = patience_.deadline.is_never() ? state.changed.wait(lock, patience_.stop, is_done)
                                                  : state.changed.wait_until(lock, patience_.stop, until, is_done);
  if (state.failure) return *state.failure;
  if (done) return {};
  if (patience_.stop.stop_requested()) return Failure{Errc::cancelled, "the caller stopped it", 0};
  return Failure{Errc::timeout, "the disk of this host did not take the file before the deadline", 0};
}

}  // namespace remsh
