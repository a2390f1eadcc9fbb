// Two transports joined in memory.
#include <remsh/transport/memory.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {
namespace {

/// The bytes of one direction: a ring buffer.
class Ring {
 public:
  explicit Ring(std::size_t capacity) : capacity_(capacity), bytes_(std::make_unique_for_overwrite<char[]>(capacity)) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t room() const noexcept { return capacity_ - size_; }

  std::size_t put(std::string_view bytes) {
    const std::size_t taken = std::min(bytes.size(), room());
    const std::size_t end = (begin_ + size_) % capacity_;
    const std::size_t first = std::min(taken, capacity_ - end);
    std::copy_n(bytes.data(), first, bytes_.get() + end);
    std::copy_n(bytes.data() + first, taken - first, bytes_.get());
    size_ += taken;
    return taken;
  }

  std::size_t take(std::span<char> buffer) {
    const std::size_t taken = std::min(buffer.size(), size_);
    const std::size_t first = std::min(taken, capacity_ - begin_);
    std::copy_n(bytes_.get() + begin_, first, buffer.data());
    std::copy_n(bytes_.get(), taken - first, buffer.data() + first);
    begin_ = (begin_ + taken) % capacity_;
    size_ -= taken;
    return taken;
  }

 private:
  std::size_t capacity_;
  std::unique_ptr<char[]> bytes_;
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
};

/// Shared by both ends. Watchers are notified under the mutex: after disarm_for_good() there are no more notifications.
struct Shared {
  explicit Shared(std::size_t capacity) : rings{Ring(capacity), Ring(capacity)} {}

  struct Armed {
    Watcher* watcher = nullptr;
    Ready directions = Ready::none;
    std::uint64_t token = 0;
  };

  /// What end `side` (0 or 1) can do now. It reads from the ring with its own number.
  [[nodiscard]] Ready ready(std::size_t side) const {
    if (closed) return Ready::both;
    return (rings[side].size() > 0 ? Ready::read : Ready::none) |
           (rings[1 - side].room() > 0 ? Ready::write : Ready::none);
  }

  /// Notifies the watcher of `side`, once, if it is ready.
  void tell(std::size_t side) {
    Armed& armed = armed_ends[side];
    const Ready now = ready(side) & armed.directions;
    if (now == Ready::none) return;
    armed.directions = Ready::none;
    armed.watcher->notify(armed.token, now);
  }

  /// Call it when something has changed for `side`.
  void wake(std::size_t side) {
    changed[side].notify_all();
    tell(side);
  }

  void close() {
    const std::lock_guard lock(mutex);
    closed = true;
    wake(0);
    wake(1);
  }

  std::mutex mutex;
  std::array<std::condition_variable, 2> changed;
  std::array<Ring, 2> rings;
  std::array<Armed, 2> armed_ends;
  bool closed = false;
};

/// One end. Thread-safe.
class MemoryTransport final : public Transport {
 public:
  MemoryTransport(std::shared_ptr<Shared> shared, std::size_t side) : shared_(std::move(shared)), side_(side) {}
  ~MemoryTransport() override { shared_->close(); }

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    if (buffer.empty()) return IoResult::blocked();
    std::unique_lock lock(shared_->mutex);
    Ring& ring = shared_->rings[side_];
    if (ring.size() == 0 && !shared_->closed) await(lock, Ready::read, std::min(wait, slice));
    if (ring.size() == 0) return shared_->closed ? IoResult::ended() : IoResult::blocked();
    const std::size_t taken = ring.take(buffer);
    shared_->wake(1 - side_);
    return IoResult::moved(taken);
  }

  IoResult write_some(std::span<const std::string_view> buffers) override {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->closed) return IoResult::broken(EPIPE);
    std::size_t taken = 0;
    for (const std::string_view buffer : buffers) taken += shared_->rings[1 - side_].put(buffer);
    if (taken == 0) return IoResult::blocked();
    shared_->wake(1 - side_);
    return IoResult::moved(taken);
  }

  Ready wait(Ready directions, Duration wait) override {
    std::unique_lock lock(shared_->mutex);
    await(lock, directions, wait);
    return shared_->ready(side_) & directions;
  }

  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->armed_ends[side_] = {&watcher, directions, token};
    shared_->tell(side_);
  }

  void disarm_for_good(Watcher& /*watcher*/) noexcept override {
    const std::lock_guard lock(shared_->mutex);
    shared_->armed_ends[side_] = {};
  }

  void shutdown() noexcept override { shared_->close(); }

  [[nodiscard]] bool is_inherited() const override { return true; }
  [[nodiscard]] std::string description() const override { return "memory"; }

 private:
  void await(std::unique_lock<std::mutex>& lock, Ready directions, Duration wait) {
    const auto is_ready = [&] { return (shared_->ready(side_) & directions) != Ready::none; };
    std::condition_variable& changed = shared_->changed[side_];
    if (wait >= std::chrono::hours(24 * 365)) {
      changed.wait(lock, is_ready);  // such a long wait cannot be added to the clock
    } else if (wait > Duration::zero()) {
      changed.wait_for(lock, wait, is_ready);
    }
  }

  const std::shared_ptr<Shared> shared_;
  const std::size_t side_;
};

}  // namespace

std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> memory_pair(std::size_t capacity) {
  const auto shared = std::make_shared<Shared>(std::max<std::size_t>(capacity, 1));
  return {std::make_unique<MemoryTransport>(shared, 0), std::make_unique<MemoryTransport>(shared, 1)};
}

}  // namespace remsh
