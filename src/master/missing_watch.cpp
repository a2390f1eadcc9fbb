#include "master/missing_watch.hpp"

#include "master/slave_pool.hpp"

#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

MissingWatch::MissingWatch(std::shared_ptr<SlavePool> pool, std::shared_ptr<Loop> loop, Duration timeout)
    : pool_(std::move(pool)), loop_(std::move(loop)), absences_(timeout) {}

void MissingWatch::start() {
  pool_->set_missing_watch(this);
  follower_ = pool_->names->join(nullptr, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->keys_changed();
  });
  keys_changed();
}

void MissingWatch::stop() {
  pool_->names->leave(follower_);
  pool_->set_missing_watch(nullptr);
}

void MissingWatch::left(std::string_view name) noexcept {
  try {
    if (!pool_->names->expects(name, std::chrono::system_clock::now())) return;
    absences_.begin(name, loop_->now());
    arm();
  } catch (const std::exception&) {  // no memory: noticed at the next change of the keys
  }
}

/// Called by the thread that changed them. Looks at them soon, once for several changes in quick succession.
void MissingWatch::keys_changed() {
  const SlavePool::Lock lock = pool_->lock();
  if (is_look_due_) return;
  loop_->post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->look_at_keys();
  });
  is_look_due_ = true;
}

void MissingWatch::look_at_keys() {
  try {
    {
      const SlavePool::Lock lock = pool_->lock();
      is_look_due_ = false;  // before the names are read, so that no change is missed
    }
    const std::vector<std::string> names = pool_->names->expected(std::chrono::system_clock::now());
    const SlavePool::Lock lock = pool_->lock();
    absences_.keep_only(names);
    for (const std::string& name : names) {
      if (!pool_->has(name, lock)) absences_.begin(name, loop_->now());
    }
    arm();
  } catch (const std::exception&) {  // no memory: the next change of the keys tries again
  }
}

void MissingWatch::report() {
  try {
    const SlavePool::Lock lock = pool_->lock();
    is_armed_ = false;
    while (const auto name = absences_.take_due(loop_->now())) {
      if (pool_->names->expects(*name, std::chrono::system_clock::now())) {
        pool_->report_missing(*name, lock);
      } else {
        absences_.end(*name);  // its key has expired
      }
    }
    arm();
  } catch (const std::exception&) {  // no memory: the next absence that begins arms the timer again
  }
}

/// Sets the timer for the next absence that becomes due, unless a timer is set: none becomes due before the others that
/// began before it.
void MissingWatch::arm() {
  const auto due = absences_.next_due();
  if (!due || is_armed_) return;
  loop_->at(*due, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->report();
  });
  is_armed_ = true;
}

}  // namespace remsh
