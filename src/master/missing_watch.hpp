// MissingWatch: reports names that have a key, and no slave for too long.
#pragma once

#include "master/absences.hpp"
#include "master/names.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>

#include <memory>
#include <string_view>

namespace remsh {

class SlavePool;

/// Reports the names of a collection that have a key and no slave, once for each absence, when it has lasted for a
/// time. An absence begins when the last slave of the name leaves, or when a listener begins to expect the name. The
/// mutex of the pool guards it. Timers run on its loop.
class MissingWatch : public std::enable_shared_from_this<MissingWatch> {
 public:
  MissingWatch(std::shared_ptr<SlavePool> pool, std::shared_ptr<Loop> loop, Duration timeout);
  MissingWatch(const MissingWatch&) = delete;
  MissingWatch& operator=(const MissingWatch&) = delete;

  /// Begins to follow the pool, and the keys of its listeners.
  void start();

  /// From when this returns, the pool notifies it of nothing more. The caller then stops the loop.
  void stop();

  // Called by the pool, with its mutex held.

  void arrived(std::string_view name) noexcept { absences_.end(name); }
  void left(std::string_view name) noexcept;

 private:
  void keys_changed();
  void look_at_keys();
  void report();
  void arm();

  const std::shared_ptr<SlavePool> pool_;
  const std::shared_ptr<Loop> loop_;
  Names::ListenerId follower_ = 0;
  Absences absences_;
  bool is_look_due_ = false;
  bool is_armed_ = false;
};

}  // namespace remsh
