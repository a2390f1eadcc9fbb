// LostCallback: who is told that the connection of a worker has ended.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace remsh {

/// What was dropped where nothing of the user's may run, and is to be destroyed where it may.
using Leftovers = std::vector<std::shared_ptr<const void>>;

/// Told once that the connection of a worker has ended: note(), then run(). Dropped without either where nobody is left
/// who could be told.
class LostCallback {
 public:
  LostCallback() = default;
  LostCallback(const LostCallback&) = delete;
  LostCallback& operator=(const LostCallback&) = delete;
  virtual ~LostCallback() = default;

  /// At once, on the io thread too: must not block, nor run anything of the user's, destructors included.
  virtual void note(Leftovers&) noexcept {}

  /// Later, on a thread that may block.
  virtual void run() noexcept {}

 private:
  friend class LostCallbacks;
  LostCallback* before_ = nullptr;  // in the list
};

/// Those who are to be told of the end of one connection, in the order they came. A pointer, as a master has many.
/// Thread-safe.
class LostCallbacks {
 public:
  LostCallbacks() = default;
  LostCallbacks(const LostCallbacks&) = delete;
  LostCallbacks& operator=(const LostCallbacks&) = delete;
  ~LostCallbacks() { take(nullptr); }

  /// Where the end has been told already, this one is told at once, in this thread.
  void add(std::unique_ptr<LostCallback> callback) {
    LostCallback* last = last_.load();
    while (last != &told_) {
      callback->before_ = last;
      if (last_.compare_exchange_weak(last, callback.get())) {
        static_cast<void>(callback.release());  // the list's
        return;
      }
    }
    Leftovers leftovers;
    callback->note(leftovers);
    callback->run();
  }

  /// Tells them all, once: note() now, and run() by a function that `run_service` is given, with what was dropped.
  void tell(const std::function<void(std::function<void()>)>& run_service) {
    struct Rest {
      Owned callbacks;
      Leftovers leftovers;
    };
    auto rest = std::make_shared<Rest>(Rest{take(&told_), {}});
    if (rest->callbacks.empty()) return;
    for (const auto& callback : rest->callbacks) callback->note(rest->leftovers);
    run_service([rest = std::move(rest)] {
      for (const auto& callback : rest->callbacks) callback->run();
    });
  }

 private:
  using Owned = std::vector<std::unique_ptr<LostCallback>>;

  Owned take(LostCallback* mark) {
    Owned all;
    LostCallback* last = last_.exchange(mark);
    for (; last != nullptr && last != &told_; last = last->before_) all.emplace_back(last);
    std::reverse(all.begin(), all.end());
    return all;
  }

  inline static LostCallback told_;  // stands in the place of the last one when the end has been told
  std::atomic<LostCallback*> last_ = nullptr;
};

}  // namespace remsh
