#include "os/service_threads.hpp"

#include "os/threads.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <system_error>
#include <utility>

namespace remsh {

ServiceThreads::ServiceThreads(Options options, Later later) : options_(options), later_(std::move(later)) {
  const std::lock_guard lock(mutex_);
  start();
}

void ServiceThreads::post(std::function<void()> function) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  functions_.push_back(std::move(function));
  if (functions_.size() > idle_ + starting_) {
    if (threads_.size() < std::min(prompt, options_.most)) try_to_start();
    look_later();
  }
  changed_.notify_one();
}

void ServiceThreads::start() {
  for (std::thread& thread : ended_) thread.join();  // it has left run()
  ended_.clear();
  threads_.push_back(start_thread("remsh-service", [this] { run(); }));
  ++starting_;
}

/// If no further thread can be started, the existing ones go on, and the next look tries again.
void ServiceThreads::try_to_start() {
  try {
    start();
  } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch)
  }
}

void ServiceThreads::look_later() {
  if (looks_ || threads_.size() >= options_.most) return;
  looks_ = true;
  seen_taken_ = taken_;
  later_(patience, [this] { look(); });
}

/// If no function was taken since look_later(), all threads are blocked: starts another one.
void ServiceThreads::look() {
  const std::lock_guard lock(mutex_);
  looks_ = false;
  if (stopping_ || functions_.size() <= idle_) return;
  if (taken_ == seen_taken_ && starting_ == 0 && threads_.size() < options_.most) try_to_start();
  look_later();
}

void ServiceThreads::run() {
  std::unique_lock lock(mutex_);
  --starting_;
  for (;;) {
    ++idle_;
    const bool called =
        changed_.wait_for(lock, options_.idle_time, [this] { return stopping_ || !functions_.empty(); });
    --idle_;
    if (!called) {
      if (threads_.size() == 1) continue;
      const auto is_this = [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); };
      const auto self = std::find_if(threads_.begin(), threads_.end(), is_this);
      assert(self != threads_.end());
      ended_.push_back(std::move(*self));
      threads_.erase(self);
      return;
    }
    if (functions_.empty()) return;  // stopping
    auto function = std::move(functions_.front());
    functions_.pop_front();
    ++taken_;
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
    std::move(ended_.begin(), ended_.end(), std::back_inserter(threads));
    ended_.clear();
    changed_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

bool ServiceThreads::is_this_thread() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(threads_.begin(), threads_.end(),
                     [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); });
}

std::size_t ServiceThreads::size() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

}  // namespace remsh
