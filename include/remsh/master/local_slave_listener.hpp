// LocalSlaveListener: slaves of this host, started by us.
#pragma once

#include <remsh/master/pending.hpp>
#include <remsh/master/slave_listener.hpp>
#include <remsh/master/start_options.hpp>

#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

struct LocalListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};

  /// What to start; "--stdio --quiet --basedir=DIR --name=NAME" is added. Empty: "remsh-slave", found on the PATH.
  ///
  /// The command itself is started without a shell, as it is. What is added also passes through shells unchanged, such
  /// as the one at the other end of ssh, which gets all arguments joined by spaces: if a value has other characters
  /// than A-Z a-z 0-9 / . _ - : , @ + = then "--percent-encoded" is added in front, and these are written as %XX.
  std::vector<std::string> command = {};

  /// Start this very program instead, whose main() begins with remsh::run_embedded_slave(argc, argv).
  bool embedded = false;

  /// The environment of the program: PATH, HOME, the locale and a few more variables of this program's environment, so
  /// that secrets in that reach no slave (docs/security.md has the list), changed by `env`; nullopt: unset.
  std::map<Bytes, std::optional<Bytes>> env = {};
  bool clear_env = false;    ///< begin with an empty environment instead
  bool inherit_env = false;  ///< begin with all of this program's environment instead

  std::chrono::milliseconds keepalive{10000};
  std::chrono::milliseconds keepalive_patience{10000};
  std::chrono::milliseconds handshake_timeout{10000};
  std::chrono::milliseconds arbitration_timeout{5000};
  std::chrono::milliseconds kill_after{10000};  ///< from the end of its connection to SIGKILL

  LogHook log = {};
  TraceHook trace = {};
  AuditHook audit = {};
  std::shared_ptr<Runtime> runtime = {};
};

/// Slaves of this host, started by us over a socket pair: who holds the descriptor is the peer.
///
///     remsh::LocalSlaveListener local({.slave_collection = slaves});
///     auto slave = local.start_slave("/srv/worker");
///
/// What a program writes to standard error goes to `log`, line by line. If it ends other than in order (it was killed,
/// for one), what it started is ended as well.
class REMSH_API LocalSlaveListener final : public SlaveListener {
 public:
  explicit LocalSlaveListener(LocalListenerOptions options);
  ~LocalSlaveListener() override;  ///< also ends the slaves that it started

  void start() override {}  ///< there is no port to open
  void stop() override {}

  /// Starts a slave in a directory (made if it is missing) and gives it, once it is set up and in the collection. The
  /// program may register under its name only.
  ///
  /// Throws Error: local_os_error if it cannot be started here, in_use for a name that is taken, os_error with os() if
  /// the slave cannot work there (the directory cannot be made), refused by a slave class or setup(); Timeout if it
  /// does not register within `handshake_timeout`, or is not set up by the deadline, ConnectionLost if it ends before,
  /// both with what it said last; Cancelled after a stop; ProtocolError if it is no slave. Then all that the program
  /// started is ended.
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const StartOptions& options = {});

  /// The same in short: start_slave(basedir, "w1"). A template, so that braces are always StartOptions.
  template <std::convertible_to<std::string> Name>
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const Name& name) {
    return start_slave(basedir, StartOptions{.name = name});
  }

  /// start_slave() without a thread that waits. Throws at once what is wrong with the options, and if the program
  /// cannot be started; all else comes out of Pending::wait(). Cancelling or destroying the Pending ends a slave that
  /// has not come yet.
  Pending<std::shared_ptr<Slave>> launch_slave(const std::string& basedir, StartOptions options = {});

  /// Ends a slave and whatever it is doing, and waits until its process is gone. May be called from setup() and from
  /// on_disconnect(), also of the same slave. False if it is not (any more) one of ours.
  bool kill_slave(const std::shared_ptr<Slave>& slave);

 private:
  struct Local;
  std::unique_ptr<Local> local_;
};

}  // namespace remsh
