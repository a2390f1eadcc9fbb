// LostCallback: who is told that the connection of a worker has ended.
#pragma once

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
  std::unique_ptr<LostCallback> next_;
};

/// Callbacks in the order they came; a pointer while there are none. One thread at a time.
class LostCallbacks {
 public:
  LostCallbacks() = default;
  LostCallbacks(LostCallbacks&&) noexcept = default;
  LostCallbacks& operator=(LostCallbacks&&) noexcept = default;
  ~LostCallbacks() {
    while (first_) first_ = std::move(first_->next_);  // not one inside the other
  }

  [[nodiscard]] bool empty() const noexcept { return !first_; }

  void add(std::unique_ptr<LostCallback> callback) {
    auto* place = &first_;
    while (*place) place = &(*place)->next_;
    *place = std::move(callback);
  }

  /// Tells them all: note() now, and run() by a function that `run_service` is given, with what was dropped.
  void tell(const std::function<void(std::function<void()>)>& run_service) && {
    if (!first_) return;
    struct Rest {
      LostCallbacks callbacks;
      Leftovers leftovers;
    };
    auto rest = std::make_shared<Rest>(Rest{std::move(*this), {}});
    rest->callbacks.for_each([&rest](LostCallback& callback) { callback.note(rest->leftovers); });
    run_service([rest = std::move(rest)] { rest->callbacks.for_each([](LostCallback& callback) { callback.run(); }); });
  }

 private:
  template <class Function>
  void for_each(const Function& function) const {
    for (LostCallback* callback = first_.get(); callback != nullptr; callback = callback->next_.get()) {
      function(*callback);
    }
  }

  std::unique_ptr<LostCallback> first_;
};

}  // namespace remsh
