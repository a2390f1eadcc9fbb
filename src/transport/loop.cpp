// Loop: the io thread, using Asio.
#include "transport/loop.hpp"

#include "base/os_words.hpp"
#include "base/throw_failure.hpp"
#include "os/threads.hpp"
#include "transport/asio.hpp"
#include "transport/watch.hpp"

#include <array>
#include <atomic>
#include <cassert>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace remsh {

struct Loop::Impl final : Watcher {
  explicit Impl(const Clock& given)
      : clock(given), epoll(io, watch_set.descriptor()), timer(io), work(io.get_executor()) {}
  ~Impl() { epoll.release(); }  // watch_set owns it

  // The watcher.

  void watch(int descriptor, Ready directions, std::uint64_t token) override {
    if (watch_set.arm(descriptor, directions, token) == 0 || directions == Ready::none) return;
    // The system cannot watch it, or not now. The thread that armed it must not wait for ever: report it as ready after
    // a pause, so that it checks itself.
    at(clock.now() + Transport::slice, [this, token, directions] { tell(token, directions); });
  }

  void forget(int descriptor) noexcept override { watch_set.forget(descriptor); }

  void notify(std::uint64_t token, Ready directions) override {
    post([this, token, directions] { tell(token, directions); });
  }

  // Functions and timers. We keep both queues, and use one object of Asio for each: so only the first of several posts
  // costs a system call, and the rest can be dropped at the end.

  void post(std::function<void()> function) {
    {
      const std::lock_guard lock(mutex);
      if (stopped) return;
      posted.push_back(std::move(function));
      if (posted.size() > 1) return;
    }
    asio::post(io, [this] { run_posted(); });
  }

  TimerId at(TimePoint when, std::function<void()> function) {
    TimerId id = 0;
    bool first = false;
    {
      const std::lock_guard lock(mutex);
      id = ++last_timer;
      if (stopped) return id;
      const auto place = timers.emplace(when, Timer{id, std::move(function)});
      timers_by_id.emplace(id, place);
      first = place == timers.begin();
    }
    if (first) post([this] { set_timer(); });
    return id;
  }

  bool cancel(TimerId id) {
    std::function<void()> dropped;  // destroyed without the lock
    const std::lock_guard lock(mutex);
    const auto found = timers_by_id.find(id);
    if (found == timers_by_id.end()) return false;
    dropped = std::move(found->second->second.function);
    timers.erase(found->second);
    timers_by_id.erase(found);
    return true;
  }

  void run_posted() {
    std::vector<std::function<void()>> batch;
    {
      const std::lock_guard lock(mutex);
      batch.swap(posted);
    }
    for (auto& function : batch) {
      if (is_stopping.load(std::memory_order_relaxed)) return;
      std::exchange(function, nullptr)();
    }
  }

  void set_timer() {
    TimePoint when;
    {
      const std::lock_guard lock(mutex);
      if (timers.empty()) return;
      when = timers.begin()->first;
    }
    if (step) return;
    const TimePoint now = clock.now();
    timer.expires_after(when > now ? when - now : Duration::zero());
    timer.async_wait([this](const std::error_code& error) {
      if (!error) run_timers();
    });
  }

  void run_timers() {
    const TimePoint now = clock.now();
    while (!is_stopping.load(std::memory_order_relaxed)) {
      std::function<void()> function;
      {
        const std::lock_guard lock(mutex);
        if (timers.empty() || timers.begin()->first > now) break;
        function = std::move(timers.begin()->second.function);
        timers_by_id.erase(timers.begin()->second.id);
        timers.erase(timers.begin());
      }
      function();
    }
    set_timer();
  }

  // Events.

  void wait_for_events() {
    epoll.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& error) {
      if (!error) run_events();
    });
  }

  void run_events() {
    std::array<Watch::Event, 64> room;
    const auto events = watch_set.take(room);
    for (const Watch::Event& event : events) {
      if (is_stopping.load(std::memory_order_relaxed)) return;
      tell(event.token, event.directions);
    }
    // Empty the set before waiting for it, because Asio's own epoll is edge-triggered; but let other work run in
    // between.
    if (events.size() == room.size()) {
      asio::post(io, [this] { run_events(); });
    } else {
      wait_for_events();
    }
  }

  void tell(std::uint64_t token, Ready directions) {
    if (directions == Ready::none) return;
    std::shared_ptr<Watched> watched;
    {
      const std::lock_guard lock(mutex);
      const auto slot = static_cast<std::size_t>(token >> 32U);
      if (slot < slots.size()) watched = slots[slot].lock();
    }
    if (watched) watched->on_ready(static_cast<std::uint32_t>(token), directions);
  }

  std::uint32_t add(std::weak_ptr<Watched> watched) {
    const std::lock_guard lock(mutex);
    if (free_slots.empty()) {
      assert(slots.size() < (Watch::token_bits >> 32U));
      slots.push_back(std::move(watched));
      return static_cast<std::uint32_t>(slots.size() - 1);
    }
    const std::uint32_t slot = free_slots.front();
    free_slots.pop_front();
    slots[slot] = std::move(watched);
    return slot;
  }

  void remove(std::uint32_t slot) {
    {
      const std::lock_guard lock(mutex);
      slots[slot].reset();
    }
    // Events that the loop has already taken, or that were posted before, must not reach a new owner of the slot: it is
    // free when the loop has processed them.
    post([this, slot] {
      const std::lock_guard lock(mutex);
      free_slots.push_back(slot);
    });
  }

  void run() {
    wait_for_events();
    io.run();
  }

  struct Timer {
    TimerId id;
    std::function<void()> function;
  };
  using Timers = std::multimap<TimePoint, Timer>;

  const Clock& clock;
  std::function<void()> step;  // of a driven loop
  Watch watch_set;
  asio::io_context io{1};
  asio::posix::stream_descriptor epoll;
  asio::steady_timer timer;
  asio::executor_work_guard<asio::io_context::executor_type> work;

  std::thread thread;
  std::thread::id thread_id;
  std::once_flag joined;
  std::atomic<bool> is_stopping{false};

  std::mutex mutex;  // guards the following
  bool stopped = false;
  std::vector<std::function<void()>> posted;
  Timers timers;  // timers of the same time in order of creation
  std::unordered_map<TimerId, Timers::iterator> timers_by_id;
  TimerId last_timer = 0;
  std::vector<std::weak_ptr<Watched>> slots;
  std::deque<std::uint32_t> free_slots;
};

std::shared_ptr<Loop> Loop::start(const Clock& clock) {
  try {
    std::shared_ptr<Loop> loop(new Loop(std::make_unique<Impl>(clock)));
    Impl& impl = *loop->impl_;
    impl.thread = start_thread("remsh-io", [&impl] { impl.run(); });
    impl.thread_id = impl.thread.get_id();
    return loop;
  } catch (const std::system_error& error) {  // of ours and of Asio's
    const int number = error.code().value();
    throw_failure({Errc::local_os_error, os_words(number), number}, "", "start an io thread");
  }
}

std::shared_ptr<Loop> Loop::make_driven(const Clock& clock, std::function<void()> step) {
  std::shared_ptr<Loop> loop(new Loop(std::make_unique<Impl>(clock)));
  loop->impl_->step = std::move(step);
  return loop;
}

TimePoint Loop::run_due() {
  for (;;) {
    impl_->io.poll();
    impl_->run_timers();
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->posted.empty()) continue;
    return impl_->timers.empty() ? TimePoint::max() : impl_->timers.begin()->first;
  }
}

bool Loop::park(Parking& parking, TimePoint deadline) {
  if (!impl_->step) return parking.park_until(deadline);
  while (!parking.park_until(TimePoint())) {  // does not wait
    if (clock_.now() >= deadline) return false;
    impl_->step();
  }
  return true;
}

Loop::Loop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)), clock_(impl_->clock) {}

Loop::~Loop() { stop(); }

void Loop::clock_moved() {
  impl_->post([impl = impl_.get()] { impl->run_timers(); });
}

void Loop::post(std::function<void()> function) { impl_->post(std::move(function)); }

Loop::TimerId Loop::at(TimePoint when, std::function<void()> function) { return impl_->at(when, std::move(function)); }

bool Loop::cancel(TimerId id) { return impl_->cancel(id); }

std::uint32_t Loop::add(std::weak_ptr<Watched> watched) { return impl_->add(std::move(watched)); }

void Loop::remove(std::uint32_t slot) { impl_->remove(slot); }

Watcher& Loop::watcher() noexcept { return *impl_; }

bool Loop::is_this_thread() const noexcept { return std::this_thread::get_id() == impl_->thread_id; }

void Loop::stop() {
  assert(!is_this_thread());
  impl_->is_stopping.store(true);
  std::call_once(impl_->joined, [this] {
    impl_->io.stop();
    if (impl_->thread.joinable()) impl_->thread.join();
  });
  std::vector<std::function<void()>> posted;  // destroyed after the lock, because their objects may call us
  Impl::Timers timers;
  const std::lock_guard lock(impl_->mutex);
  impl_->stopped = true;
  posted.swap(impl_->posted);
  timers.swap(impl_->timers);
  impl_->timers_by_id.clear();
}

}  // namespace remsh
