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
#include <remsh/transport/stranger_limits.hpp>
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

/// Makes the object for a slave that registers. It can choose a class by SlaveInit::info(), and may throw SlaveRefused.
/// Runs in a service thread and may block.
using SlaveFactory = std::function<std::shared_ptr<Slave>(SlaveInit)>;

/// The factory for a subclass of Slave with an inherited constructor: remsh::slave_class<MySlave>().
template <class T>
SlaveFactory slave_class() {
  static_assert(std::is_convertible_v<T*, Slave*>, "a slave class derives publicly from remsh::Slave");
  static_assert(std::is_constructible_v<T, SlaveInit>,
                "a slave class can be made from a remsh::SlaveInit: `using remsh::Slave::Slave;` does it");
  return [](SlaveInit init) -> std::shared_ptr<Slave> { return std::make_shared<T>(std::move(init)); };
}

/// Thrown by a factory to refuse a slave. The slave logs the reason, and retries after its usual pause.
class REMSH_API SlaveRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~SlaveRefused() override;
};

/// The threads of a master: one io thread, and service threads that are started on demand. A listener makes its own
/// Runtime, unless it is given one to share.
class Runtime;
REMSH_API std::shared_ptr<Runtime> make_runtime();

/// Options that all listeners have.
struct ListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};  ///< empty: makes remsh::Slave

  /// The keys that slaves may prove: a KeyFile, or a KeyRing that is filled by calls. If not set, slaves cannot use
  /// keys.
  std::optional<KeyRing> keys = {};

  /// Accept unauthenticated slaves, under any name for which no listener of the collection has a key. Slaves for which
  /// the operating system vouches are accepted in any case: on an inherited descriptor, or on a unix socket of this
  /// user.
  bool keyless = false;

  /// The protocols that slaves may speak. A slave that speaks another one is refused, and the log says so.
  std::vector<SlaveProtocol> protocols = {SlaveProtocol::remsh2()};

  /// How long either side may be silent before it pings. 0: the master does not ping, and gives no slave up; a slave
  /// may be silent for an hour before it pings. See also set_keepalive().
  std::chrono::milliseconds keepalive{10000};
  std::chrono::milliseconds keepalive_patience{10000};  ///< how long it then waits for an answer before it gives up
  std::chrono::milliseconds handshake_timeout{10000};   ///< the limit from the connection to the registration
  std::chrono::milliseconds arbitration_timeout{
      5000};  ///< how long a slave has to answer when another one claims its name
  /// Unregistered connections; beyond that, the oldest one of the busiest address is dropped.
  std::size_t max_handshakes = 256;
  StrangerLimits strangers = {};

  LogHook log = {};
  TraceHook trace = {};  ///< called with every box of every connection
  AuditHook audit = {};  ///< called with every operation of every slave, at its end
  std::shared_ptr<Runtime> runtime = {};
};

/// Admits slaves: handshake, registration, the slave object, its setup(), the collection. The abstract base of all
/// listeners. For slaves over a channel of your own, derive from it or use TransportSlaveListener. Thread-safe.
class REMSH_API SlaveListener {
 public:
  explicit SlaveListener(ListenerOptions options);
  SlaveListener(const SlaveListener&) = delete;
  SlaveListener& operator=(const SlaveListener&) = delete;

  /// Stops and disconnects its slaves. Waits until all callers have left their operations, all running functions of the
  /// slave class, setup() and on_disconnect() have returned, and its threads have ended. It must not be called from one
  /// of these functions: that ends the program with a message. Slave objects may outlive the listener.
  virtual ~SlaveListener();

  [[nodiscard]] SlaveCollection& slave_collection() const noexcept;
  [[nodiscard]] const SlaveFactory& slave_class() const noexcept;

  /// Admits a new connection as every listener does: handshake, registration, slave object, setup(), collection.
  /// Returns the slave. Blocks. Throws AuthError, ProtocolError, ConnectionLost, Timeout, or Error with refused or
  /// in_use, or with invalid_argument for a null connection. Thread-safe: may be called for many connections at once.
  std::shared_ptr<Slave> handle_new_connection(std::unique_ptr<Transport> connection);

  /// Begins to accept connections. Throws Error if that fails: with in_use if the address is taken, and with
  /// invalid_argument if a listener with a port is started already.
  virtual void start() = 0;

  /// Accepts no more connections. Connected slaves stay, and connections that are being admitted are completed. Does
  /// nothing if the listener is not started.
  virtual void stop() = 0;

  /// The address that slaves connect to, in the form that remsh-slave and make_listener() accept. Empty if there is
  /// none or the listener is not started.
  [[nodiscard]] virtual std::string address() const { return {}; }

  /// Slave::set_keepalive() for all slaves of this listener, those that are connected and those that will be. Slaves
  /// whose protocol has no keepalive are left out. Throws Error with invalid_argument if a time is negative.
  void set_keepalive(std::chrono::milliseconds interval,
                     std::chrono::milliseconds patience = std::chrono::milliseconds(10000));

  /// The slave that registered last; null if there is none or it is gone.
  [[nodiscard]] std::shared_ptr<Slave> last_accepted() const;

 protected:
  struct Impl;

  /// For subclasses: admits a connection without waiting; failures are logged.
  void admit(std::unique_ptr<Transport> connection);

  /// For destructors of subclasses, before their own members are destroyed: does what ~SlaveListener() does. Does
  /// nothing the second time.
  void shut_down();

  [[nodiscard]] Impl& impl() const noexcept { return *impl_; }

 private:
  friend class SlaveLauncher;  // the keys and log messages of its slaves, go through the listener
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
