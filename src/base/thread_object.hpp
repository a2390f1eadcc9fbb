// of_this_thread(): an object that a thread keeps between two uses.
#pragma once

#include <memory>
#include <utility>

namespace remsh {

/// The object of this type, and for this purpose, that belongs to the calling thread. Null once the thread has
/// destroyed it: static objects, which may hold a listener, are destroyed after those of the main thread.
template <class T, class Purpose = T>
T* of_this_thread() {
  thread_local bool is_gone = false;  // has no destructor, so it can be read to the very end
  struct Owned {
    T object{};
    ~Owned() { is_gone = true; }
  };
  if (is_gone) return nullptr;
  thread_local Owned owned;
  return &owned.object;
}

/// The object that this thread has kept, or a new one.
template <class T>
std::unique_ptr<T> take_spare() {
  auto* const spare = of_this_thread<std::unique_ptr<T>>();
  return spare != nullptr && *spare ? std::move(*spare) : std::make_unique<T>();
}

/// Keeps the object for the next use in this thread, in place of the last one.
template <class T>
void keep_spare(std::unique_ptr<T> object) noexcept {
  if (auto* const spare = of_this_thread<std::unique_ptr<T>>()) *spare = std::move(object);
}

}  // namespace remsh
