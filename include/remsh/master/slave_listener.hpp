// SlaveListener: admission, the same for every listener.
#pragma once

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/log.hpp>
#include <remsh/connection/trace.hpp>
#include <remsh/master/audit.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/slave_protocol.hpp>
#include <remsh/master/stranger_limits.hpp>
#include <remsh/transport/transport.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace remsh {

/// Makes the object for a slave that registers. It sees who the slave is (SlaveInit::info), may choose a class by that,
/// and may throw SlaveRefused. Runs on a service thread and may block.
using SlaveFactory = std::function<std::shared_ptr<Slave>(SlaveInit)>;

/// The factory for a subclass of Slave with an inherited constructor: remsh::slave_class<MySlave>().
template <class T>
SlaveFactory slave_class() {
  static_assert(std::is_convertible_v<T*, Slave*>, "a slave class derives publicly from remsh::Slave");
  static_assert(std::is_constructible_v<T, SlaveInit>,
                "a slave class can be made from a remsh::SlaveInit: `using remsh::Slave::Slave;` does it");
  return [](SlaveInit init) -> std::shared_ptr<Slave> { return std::make_shared<T>(std::move(init)); };
}

/// Thrown by a factory that does not want a slave. The slave logs the reason, and comes back after its own pause.
class REMSH_API SlaveRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~SlaveRefused() override;
};

/// The threads of a master: one io thread, and service threads that are started when they are needed. A listener makes
/// its own, unless it is given one to share.
class Runtime;
REMSH_API std::shared_ptr<Runtime> make_runtime();

/// What is the same for every listener.
struct ListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};  ///< empty: makes remsh::Slave

  /// The keys that slaves may prove: a KeyFile, or a KeyRing that is filled by calls. Not set: slaves cannot use keys.
  std::optional<KeyRing> keys = {};

  /// Accept slaves that prove nothing, under any name for which no listener of the collection has a key. Slaves for
  /// which the operating system vouches are accepted anyway: on an inherited descriptor, or a unix socket of this user.
  bool keyless = false;

  /// The protocols that slaves may speak. A slave that speaks another one is refused, and the log says so.
  std::vector<SlaveProtocol> protocols = {SlaveProtocol::remsh2()};

  std::chrono::milliseconds keepalive{10000};           ///< how long either side may be silent before it pings
  std::chrono::milliseconds keepalive_patience{10000};  ///< how much longer until it is given up
  std::chrono::milliseconds handshake_timeout{10000};  ///< from the connection to the registration, whatever bytes come
  std::chrono::milliseconds arbitration_timeout{
      5000};  ///< how long an old slave has to answer when its name comes again
  std::size_t max_handshakes =
      256;  ///< unregistered connections; beyond that, the oldest one of the busiest address is dropped
  StrangerLimits strangers = {};

  LogHook log = {};
  TraceHook trace = {};  ///< called with every box of every connection
  AuditHook audit = {};  ///< called with every operation of every slave, at its end
  std::shared_ptr<Runtime> runtime = {};
};

/// Admits slaves: handshake, registration, the slave object, its setup(), the collection. The abstract base of all
/// listeners: for slaves over a channel of your own derive from it, or use TransportSlaveListener. Thread-safe.
class REMSH_API SlaveListener {
 public:
  explicit SlaveListener(ListenerOptions options);
  SlaveListener(const SlaveListener&) = delete;
  SlaveListener& operator=(const SlaveListener&) = delete;

  /// Stops; disconnects its slaves, waits until all callers have left their operations, what runs of the slave class,
  /// setup() and on_disconnect() has returned, and its threads have ended. Never within one of these: that ends the
  /// program with a word about it. Slave objects may outlive it.
  virtual ~SlaveListener();

  [[nodiscard]] SlaveCollection& slave_collection() const noexcept;
  [[nodiscard]] const SlaveFactory& slave_class() const noexcept;

  /// Does what every listener does with a new connection: handshake, registration, constructs the slave object, calls
  /// its setup(), adds it to the collection and gives it. Blocks. Throws AuthError, ProtocolError, ConnectionLost,
  /// Timeout, or Error with refused or in_use, or with invalid_argument for a null connection. Thread-safe: may be
  /// called for many connections at once.
  std::shared_ptr<Slave> handle_new_connection(std::unique_ptr<Transport> connection);

  /// Begins to take connections. Throws Error if that cannot be: with in_use if the address is taken, and with
  /// invalid_argument if a listener with a port was started already and not stopped since.
  virtual void start() = 0;

  /// Takes no more connections; slaves stay. Those being admitted still are. Does nothing if it was not started.
  virtual void stop() = 0;

  /// The address that slaves connect to, as remsh-slave and make_listener() take it; empty if there is none or it is
  /// not started.
  [[nodiscard]] virtual std::string address() const { return {}; }

  /// The slave that registered last; null where none has or it is gone.
  [[nodiscard]] std::shared_ptr<Slave> last_accepted() const;

 protected:
  struct Impl;

  /// For listeners: admits without waiting; what goes wrong is logged.
  void admit(std::unique_ptr<Transport> connection);

  /// For destructors of listeners, before their own members go: what ~SlaveListener() does. Does nothing the second
  /// time.
  void shut_down();

  [[nodiscard]] Impl& impl() const noexcept { return *impl_; }

 private:
  friend class SlaveLauncher;  // its slaves' keys, and what is said of them, go through the listener
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
