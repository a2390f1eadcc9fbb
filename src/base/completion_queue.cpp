#include <remsh/base/completion_queue.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace remsh {

struct CompletionQueue::State : std::enable_shared_from_this<State> {
  /// An entry of the queue, and its state.
  struct Place {
    std::unique_ptr<detail::QueuedWork> entry;
    bool is_ready = false;    // in `ready`, or to be put there when the thread leaves it
    bool is_running = false;  // a thread is polling or completing it
  };

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::unordered_map<const Place*, std::shared_ptr<Place>> places;
  std::deque<std::shared_ptr<Place>> ready;
  std::function<void()> on_ready;

  /// Polling this entry may make progress, if it still exists. Called by any thread, even one that the operation's
  /// destructor would join. That is why the caller holds no reference, which might be the last one.
  void wake(const Place* which) {
    {
      const std::lock_guard lock(mutex);
      const auto found = places.find(which);
      if (found == places.end()) return;
      const std::shared_ptr<Place>& place = found->second;
      if (std::exchange(place->is_ready, true) || place->is_running) return;
      if (!put(place)) return;
    }
    if (on_ready) on_ready();
  }

  /// Under the mutex. True if it is the first that is ready.
  bool put(const std::shared_ptr<Place>& place) {
    ready.push_back(place);
    changed.notify_one();
    return ready.size() == 1;
  }

  /// Polls an entry once, and completes it if it is over. Without the mutex.
  void run(const std::shared_ptr<Place>& place) {
    const bool is_over = place->entry->poll([weak = weak_from_this(), which = place.get()] {
      if (const auto self = weak.lock()) self->wake(which);
    });
    if (is_over) {
      const Leave leave{*this, place};
      place->entry->complete();
      return;
    }
    bool is_first = false;
    {
      const std::lock_guard lock(mutex);
      place->is_running = false;
      if (place->is_ready) is_first = put(place);
    }
    if (is_first && on_ready) on_ready();
  }

  /// Removes the entry, whatever its handler throws.
  struct Leave {
    State& state;
    const std::shared_ptr<Place>& place;
    ~Leave() {
      const std::lock_guard lock(state.mutex);
      state.places.erase(place.get());
      if (state.places.empty()) state.changed.notify_all();  // run() returns when no entry is left
    }
  };

  /// The next entry to be polled; null if there is none.
  std::shared_ptr<Place> next() {
    if (ready.empty()) return nullptr;
    auto place = std::move(ready.front());
    ready.pop_front();
    place->is_ready = false;
    place->is_running = true;
    return place;
  }
};

CompletionQueue::CompletionQueue() : state_(std::make_shared<State>()) {}

CompletionQueue::~CompletionQueue() {
  decltype(state_->places) places;
  {
    const std::lock_guard lock(state_->mutex);
    places.swap(state_->places);
    state_->ready.clear();
  }
  places.clear();  // without the mutex: the destructors cancel operations, which may wake other entries
}

void CompletionQueue::add(std::unique_ptr<detail::QueuedWork> entry) {
  auto place = std::make_shared<State::Place>();
  place->entry = std::move(entry);
  {
    const std::lock_guard lock(state_->mutex);
    state_->places.emplace(place.get(), place);
  }
  state_->wake(place.get());
}

void CompletionQueue::run() {
  while (run_one()) {
  }
}

bool CompletionQueue::run_one(Deadline deadline) {
  std::unique_lock lock(state_->mutex);
  const auto is_settled = [this] { return !state_->ready.empty() || state_->places.empty(); };
  if (deadline.is_never()) {
    state_->changed.wait(lock, is_settled);
  } else {
    state_->changed.wait_until(lock, deadline.at(), is_settled);
  }
  const auto place = state_->next();
  if (!place) return false;
  lock.unlock();
  state_->run(place);
  return true;
}

void CompletionQueue::poll() {
  // Polls each ready entry once, so that the host's loop gets its turn. Calls on_ready again for what is left.
  struct TellOfRest {
    State& state;
    ~TellOfRest() {
      {
        const std::lock_guard lock(state.mutex);
        if (state.ready.empty()) return;
      }
      if (state.on_ready) state.on_ready();
    }
  };
  const TellOfRest tell_of_rest{*state_};
  std::unique_lock lock(state_->mutex);
  for (std::size_t left = state_->ready.size(); left > 0; --left) {
    auto place = state_->next();
    if (!place) return;
    lock.unlock();
    state_->run(place);
    place.reset();  // without the mutex: the handler may hold its own operation, which is destroyed here
    lock.lock();
  }
}

std::size_t CompletionQueue::size() const {
  const std::lock_guard lock(state_->mutex);
  return state_->places.size();
}

void CompletionQueue::on_ready(std::function<void()> callback) { state_->on_ready = std::move(callback); }

}  // namespace remsh
