#include "messages/io_thread.hpp"

#include <mutex>

namespace remsh::messages {

std::shared_ptr<Loop> io_thread() {
  static std::mutex mutex;
  static std::weak_ptr<Loop> shared;
  const std::lock_guard lock(mutex);
  auto loop = shared.lock();
  if (!loop) shared = loop = Loop::start();
  return loop;
}

}  // namespace remsh::messages
