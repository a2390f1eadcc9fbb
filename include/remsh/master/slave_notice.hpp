// SlaveNotice, SlaveSubscription: what a collection reports of its slaves.
#pragma once

#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

/// A change in a collection; see SlaveCollection::on_change().
struct SlaveNotice {
  enum Kind : std::uint8_t {
    arrived,   ///< the slave came into the collection, and is free
    left,      ///< its connection has ended, or remove_slave() took it out; its lease, if any, has ended
    reserved,  ///< it was reserved
    released,  ///< it is free again
  };

  Kind kind = arrived;
  std::shared_ptr<Slave> slave = {};
  std::string owner = {};                       ///< for whom it is, or was, reserved: ReserveOptions::owner
  std::optional<DisconnectReason> reason = {};  ///< of `left`: why; nullopt if it is still connected
  std::string words = {};                       ///< of `left`: why, for people
  std::uint64_t missed = 0;                     ///< notices before this one that were dropped: see on_change()
};

/// A callback that was given to SlaveCollection::on_change(). It is called until this object is destroyed. Moved, not
/// copied; may outlive the collection.
class REMSH_API SlaveSubscription {
 public:
  /// A subscription to nothing.
  SlaveSubscription() noexcept;
  SlaveSubscription(SlaveSubscription&&) noexcept;
  SlaveSubscription& operator=(SlaveSubscription&&) noexcept;
  ~SlaveSubscription();  ///< cancel()

  /// Ends the subscription: the callback does not run when this returns, and is never called again. Called by a
  /// callback of on_change(), it does not wait for callbacks. May be called by several threads at once.
  void cancel() noexcept;

  struct State;

 private:
  friend class SlaveNotices;
  explicit SlaveSubscription(std::shared_ptr<State> state) noexcept;
  std::shared_ptr<State> state_;
};

}  // namespace remsh
