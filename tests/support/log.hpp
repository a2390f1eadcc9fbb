// Log: keeps the log of the library.
#pragma once

#include "support/ample.hpp"

#include <remsh/base/log.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

namespace remsh::test {

/// Keeps the log of the library. Thread-safe.
class Log {
 public:
  [[nodiscard]] LogHook hook() const {
    return [kept = kept_](const LogRecord& record) {
      const std::lock_guard lock(kept->mutex);
      kept->text += record.component + " " + record.peer + ": " + record.message + "\n";
      kept->changed.notify_all();
    };
  }

  /// Waits until the log contains these words.
  [[nodiscard]] bool wait_for(const std::string& words) const {
    std::unique_lock lock(kept_->mutex);
    return kept_->changed.wait_for(lock, ample, [&] { return kept_->text.find(words) != std::string::npos; });
  }

  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(kept_->mutex);
    return kept_->text;
  }

 private:
  struct Kept {
    std::mutex mutex;
    std::condition_variable changed;
    std::string text;
  };
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

}  // namespace remsh::test
