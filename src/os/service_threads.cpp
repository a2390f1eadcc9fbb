#include "os/service_threads.hpp"

#include "os/threads.hpp"

#include <algorithm>
#include <cassert>
#include <system_error>
#include <utility>

namespace remsh {

ServiceThreads::ServiceThreads(unsigned most) : most_(most) {
  threads_.push_back(start_thread("remsh-service", [this] { run(); }));
}

void ServiceThreads::post(std::function<void()> function) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  functions_.push_back(std::move(function));
  if (functions_.size() > idle_ && threads_.size() < most_) {
    try {
      threads_.push_back(start_thread("remsh-service", [this] { run(); }));
    } catch (const std::system_error&) {  // those that there are will come to it
    }
  }
  changed_.notify_one();
}

void ServiceThreads::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this] { return stopping_ || !functions_.empty(); });
    --idle_;
    if (functions_.empty()) return;
    auto function = std::move(functions_.front());
    functions_.pop_front();
    lock.unlock();
    function();
    function = nullptr;
    lock.lock();
  }
}

void ServiceThreads::stop() {
  assert(!is_this_thread());
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    changed_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

bool ServiceThreads::is_this_thread() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(threads_.begin(), threads_.end(),
                     [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); });
}

}  // namespace remsh
