// RightsWatch: follows the keys of a listener, and disconnects slaves that have lost the right to be connected.
#pragma once

#include "base/clock.hpp"
#include "master/admitted_backend.hpp"
#include "master/key_watch.hpp"
#include "master/names.hpp"
#include "transport/loop.hpp"

#include <remsh/base/log.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace remsh {

/// Follows the keys of a listener, and disconnects slaves that have lost the right to be connected: their key has
/// ended, or they have none and their name has one now, at any listener of the collection. It runs on threads of its
/// own without user code, so that nothing delays the end of a key. Thread-safe.
class RightsWatch {
 public:
  /// An additional check: returns what is to be logged. May block.
  using Look = std::function<std::vector<LogRecord>()>;

  /// What a RightsWatch needs from its owner.
  struct Host {
    std::shared_ptr<Loop> loop;
    std::function<void(std::function<void()>)> run;  ///< on a thread that may block
    std::function<std::vector<std::shared_ptr<AdmittedBackend>>()> backends;
    std::function<void(const LogRecord&)> log;
  };

  /// `keys`: null if slaves have no keys here.
  RightsWatch(std::unique_ptr<KeyWatch> keys, std::shared_ptr<Names> names, Host host);

  /// Adds the keys to those of the collection, and begins to follow them. `self` refers to this object.
  void start(std::weak_ptr<RightsWatch> self);

  /// Removes the keys from the collection. Checks may go on for as long as `self` lives.
  void stop();

  /// Runs an additional check as often as that of the keys. Only if there are keys.
  void look_after(Look look);

  /// Disconnects a slave if it has no right to be connected.
  void end_without_right(AdmittedBackend& backend) const;

  /// Null if slaves have no keys.
  [[nodiscard]] KeyWatch* keys() const noexcept { return keys_.get(); }

  /// The reason for disconnecting a slave that has proven nothing, when its name gets a key.
  static constexpr const char* name_has_key = "its name has a key now, which it has not proven";

 private:
  void later(Duration wait, void (RightsWatch::*function)());
  template <void (RightsWatch::*look)()>
  void look_again_and_again();
  void look_at_files();
  void look_at_clock();
  void keys_changed();
  void check_all();
  void log_failure(const std::string& what, const std::exception& error) const;

  const std::unique_ptr<KeyWatch> keys_;
  const std::shared_ptr<Names> names_;
  const Host host_;
  std::weak_ptr<RightsWatch> self_;  // set by start()
  Names::ListenerId listener_ = 0;   // of this listener in Names; 0: not started

  mutable std::mutex mutex_;
  std::vector<Look> others_;
  bool is_stopped_ = false;
  bool check_is_due_ = false;
  TimePoint checked_ = {};  // when all slaves were last checked
};

}  // namespace remsh
