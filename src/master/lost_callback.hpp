// LostCallback: notified when the connection of a worker has ended.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace remsh {

/// Objects dropped by note(), to be destroyed later by a thread that may run destructors of the user's.
using Leftovers = std::vector<std::shared_ptr<const void>>;

/// Notified once when the connection of a worker has ended: note(), then run(). If the worker announces its end before,
/// note_draining() is called as well. Destroyed without any of them if its list is destroyed first.
class LostCallback {
 public:
  LostCallback() = default;
  LostCallback(const LostCallback&) = delete;
  LostCallback& operator=(const LostCallback&) = delete;
  virtual ~LostCallback() = default;

  /// Called when the worker has announced that it will end, perhaps on the io thread: as note(). True if the worker is
  /// reserved: then it is let go (Backend::let_go_when_idle()) at the end of the lease.
  virtual bool note_draining() noexcept { return false; }

  /// Called at once, perhaps on the io thread: must not block, nor run anything of the user's, destructors included.
  virtual void note(Leftovers&) noexcept {}

  /// Called later, on a thread that may block.
  virtual void run() noexcept {}

 private:
  friend class LostCallbacks;
  LostCallback* before_ = nullptr;  // in the list
};

/// The callbacks for the end of one connection, in the order in which they were added. Only one pointer in size, as a
/// master has many of these lists. Thread-safe.
class LostCallbacks {
 public:
  LostCallbacks() = default;
  LostCallbacks(const LostCallbacks&) = delete;
  LostCallbacks& operator=(const LostCallbacks&) = delete;
  ~LostCallbacks() { owned(last_); }

  /// If the end was reported already, calls this callback at once, in this thread.
  void add(std::unique_ptr<LostCallback> callback) {
    LostCallback* last = last_.load();
    while (last != &told_) {
      callback->before_ = last;
      if (last_.compare_exchange_weak(last, callback.get())) {
        static_cast<void>(callback.release());  // the list owns it now
        return;
      }
    }
    Leftovers leftovers;
    callback->note(leftovers);
    callback->run();
  }

  /// Calls note_draining() of all callbacks; whether any returned true. Not while another thread calls tell().
  bool tell_draining() noexcept {
    bool is_reserved = false;
    for (LostCallback* one = last_.load(); one != nullptr && one != &told_; one = one->before_) {
      is_reserved = one->note_draining() || is_reserved;
    }
    return is_reserved;
  }

  /// Calls all callbacks, once: note() now, and run() in a function that is passed to `run_service` together with the
  /// objects that note() dropped. False if the end was reported already.
  bool tell(const std::function<void(std::function<void()>)>& run_service) {
    struct Rest {
      Owned callbacks;
      Leftovers leftovers;
    };
    auto rest = std::make_shared<Rest>();
    LostCallback* const last = last_.exchange(&told_);
    if (last == &told_) return false;
    rest->callbacks = owned(last);
    if (rest->callbacks.empty()) return true;
    for (const auto& callback : rest->callbacks) callback->note(rest->leftovers);
    run_service([rest = std::move(rest)] {
      for (const auto& callback : rest->callbacks) callback->run();
    });
    return true;
  }

  [[nodiscard]] bool were_told() const noexcept { return last_ == &told_; }

 private:
  using Owned = std::vector<std::unique_ptr<LostCallback>>;

  static Owned owned(LostCallback* last) {
    Owned all;
    for (; last != nullptr && last != &told_; last = last->before_) all.emplace_back(last);
    std::reverse(all.begin(), all.end());
    return all;
  }

  inline static LostCallback told_;  // marks, in place of the last callback, that the end was reported
  std::atomic<LostCallback*> last_ = nullptr;
};

}  // namespace remsh
