// BuildbotBackend::Locked: the mutex of a back end, and what is to be done when it is unlocked.
#pragma once

#include "master/buildbot_script.hpp"

#include <memory>
#include <mutex>
#include <utility>

namespace remsh {

/// Holds the mutex of a back end. unlock(), also called by the destructor, handles the session's events, ends an
/// operation whose output exceeds the limit, writes the session's output, and sets whether the link reads. Then,
/// without the mutex, it wakes waiting threads and reports operations that are over; these calls may enter the back end
/// again.
class BuildbotBackend::Locked {
 public:
  explicit Locked(BuildbotBackend& backend) : backend_(backend), lock_(backend.mutex_) {}
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  ~Locked() { unlock(); }

  void unlock() {
    if (!lock_.owns_lock()) return;
    if (backend_.link_.is_open()) backend_.take_events();  // an interrupted command may not have begun
    backend_.limit_backlog();
    if (backend_.worker_.session) {
      const Bytes output = backend_.worker_.session->take_output();
      if (!output.empty() && backend_.link_.is_open() && !backend_.link_closes_) backend_.link_.write(output);
    }
    backend_.link_.want_bytes(backend_.wants_bytes());
    const auto finished = std::exchange(backend_.worker_.finished, {});
    const auto wakers = std::exchange(backend_.worker_.wakers, {});
    if (std::exchange(backend_.worker_.has_news, false)) backend_.changed_.notify_all();
    lock_.unlock();
    for (const Waker& wake : wakers) wake();
    for (const auto& script : finished) script->finish_running();
  }

 private:
  BuildbotBackend& backend_;
  std::unique_lock<std::mutex> lock_;
};

}  // namespace remsh
