// BuildbotBackend::Locked: the mutex of a back end, and what is to be done when it is unlocked.
#pragma once

#include "master/buildbot_script.hpp"

#include <memory>
#include <mutex>
#include <utility>

namespace remsh {

/// Holds the mutex. Before it is unlocked, what the session has to say is written; after it, waiting threads are woken
/// and operations that are over are reported, which may call anything of the back end.
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
    if (backend_.session_) {
      const Bytes output = backend_.session_->take_output();
      if (!output.empty() && backend_.link_.is_open() && !backend_.link_closes_) backend_.link_.write(output);
    }
    backend_.link_.want_bytes(backend_.wants_bytes());
    const auto finished = std::exchange(backend_.finished_, {});
    const auto wakers = std::exchange(backend_.wakers_, {});
    backend_.changed_.notify_all();
    lock_.unlock();
    for (const Waker& wake : wakers) wake();
    for (const auto& script : finished) script->finish_running();
  }

 private:
  BuildbotBackend& backend_;
  std::unique_lock<std::mutex> lock_;
};

}  // namespace remsh
