// SlaveNotice, SlaveSubscription: the changes that a collection reports.
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
    arrived,   ///< the slave has entered the collection, and is free
    left,      ///< its connection has ended, or remove_slave() took it out; its lease, if any, has ended
    reserved,  ///< it was reserved
    released,  ///< it is free again
  };

  Kind kind = arrived;
  std::shared_ptr<Slave> slave = {};
  std::string owner = {};                       ///< who reserves or reserved it: ReserveOptions::owner
  std::optional<DisconnectReason> reason = {};  ///< `left`: why; nullopt if the slave is still connected
  std::string words = {};                       ///< `left`: why, for people
  std::uint64_t missed = 0;                     ///< notices before this one that were dropped: see on_change()
};

/// A callback that was given to SlaveCollection::on_change(). It is called until this object is destroyed. Movable, not
/// copyable; may outlive the collection.
class REMSH_API SlaveSubscription {
 public:
  /// An empty subscription.
  SlaveSubscription() noexcept;
  SlaveSubscription(SlaveSubscription&&) noexcept;
  SlaveSubscription& operator=(SlaveSubscription&&) noexcept;
  ~SlaveSubscription();  ///< cancel()

  /// Ends the subscription. When this returns, the callback is not running and will not be called again. If it is
  /// called in a callback of on_change(), it does not wait for callbacks. May be called by several threads at once.
  void cancel() noexcept;

  struct State;

 private:
  friend class SlaveNotices;
  explicit SlaveSubscription(std::shared_ptr<State> state) noexcept;
  std::shared_ptr<State> state_;
};

}  // namespace remsh
