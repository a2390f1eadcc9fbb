// SlaveNotice, SlaveSubscription: the changes that a collection reports.
#pragma once

#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

/// What a slave that arrives is to the last one of its name in the same collection, as far as the ids tell that both
/// have reported: SlaveInfo::boot_id and instance_id. They are claims of the slave.
enum class Incarnation : std::uint8_t {
  first,        ///< there was none, or it is too long ago
  reconnected,  ///< the same process: only its connection had ended
  restarted,    ///< another process, since the same boot
  rebooted,     ///< its machine has been started since, or it is another machine
  unknown,      ///< one of the two has not reported its ids
};

/// The name of a value, as in logs: "rebooted".
REMSH_API std::string_view to_string(Incarnation incarnation) noexcept;

/// A change in a collection; see SlaveCollection::on_change().
struct SlaveNotice {
  enum Kind : std::uint8_t {
    arrived,   ///< the slave has entered the collection; it is free, unless a notice `paused` follows
    left,      ///< its connection has ended, or remove_slave() took it out; its lease, if any, has ended
    reserved,  ///< it was reserved
    released,  ///< its lease has ended; it is free again, unless it is paused
    paused,    ///< SlaveCollection::pause(), or its health (HealthLimits), has taken it out of service; or it is still
               ///< out of service, for another reason
    resumed,   ///< it is back in service
    draining,  ///< it has announced that it ends: nobody gets it any more, and when its lease has ended and nothing
               ///< runs on it, it is let go; then follows `left`
    missing,   ///< there has been no slave of this name, which has a key, for SlaveCollectionOptions::missing_timeout;
               ///< `slave` is null; once until one has come, and with `last_seen`, `reason` and `words` of the last one
  };

  Kind kind = arrived;
  std::shared_ptr<Slave> slave = {};             ///< null for `missing`
  std::string name = {};                         ///< of the slave
  std::string owner = {};                        ///< who reserves or reserved it: ReserveOptions::owner
  std::optional<DisconnectReason> reason = {};   ///< `left`: why; nullopt if the slave is still connected
  std::string words = {};                        ///< `left`, `paused`, `draining`, `missing`: why, for people
  bool expected = false;                         ///< `left`: see Lease::expect_disconnect()
  Incarnation incarnation = Incarnation::first;  ///< `arrived`: what it is to the last slave of this name
  std::optional<std::chrono::system_clock::time_point> last_seen = {};  ///< `missing`: see MissingSlave::last_seen
  std::uint64_t missed = 0;  ///< notices before this one that were dropped: see on_change()
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
