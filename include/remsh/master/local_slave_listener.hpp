// LocalSlaveListener: slaves that this program starts on this host.
#pragma once

#include <remsh/base/pending.hpp>
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

  /// The command to start; "--stdio --quiet --basedir=DIR --name=NAME" is appended. Empty: "remsh-slave", found on the
  /// PATH.
  ///
  /// The command is started without a shell. The appended arguments survive shells on the way, such as the one at the
  /// other end of ssh, which gets all arguments joined by spaces: if a value has characters other than A-Z a-z 0-9 / .
  /// _ - : , @ + = then "--percent-encoded" is added in front, and these characters are written as %XX.
  std::vector<std::string> command = {};

  /// Start this program itself instead of `command`. Its main() must begin with remsh::run_embedded_slave(argc, argv).
  bool embedded = false;

  /// Changes to the environment of the program; nullopt unsets a variable. By default the program gets only PATH, HOME,
  /// the locale and a few more variables of this program's environment, so that secrets in the others do not reach a
  /// slave; docs/security.md has the list.
  std::map<Bytes, std::optional<Bytes>> env = {};
  bool clear_env = false;    ///< start from an empty environment instead
  bool inherit_env = false;  ///< start from this program's whole environment instead

  std::chrono::milliseconds keepalive{10000};
  std::chrono::milliseconds keepalive_patience{10000};
  std::chrono::milliseconds handshake_timeout{10000};
  std::chrono::milliseconds arbitration_timeout{5000};
  std::chrono::milliseconds kill_after{10000};  ///< the time from the end of the connection to SIGKILL

  LogHook log = {};
  TraceHook trace = {};
  AuditHook audit = {};
  std::shared_ptr<Runtime> runtime = {};
};

/// Starts slaves on this host, each connected over a socket pair. The process that holds the other end of the pair is
/// trusted to be the slave.
///
///     remsh::LocalSlaveListener local({.slave_collection = slaves});
///     auto slave = local.start_slave("/srv/worker");
///
/// The standard error of each program goes to `log`, line by line. If a program ends abnormally (killed, for example),
/// the processes that it started are ended too.
class REMSH_API LocalSlaveListener final : public SlaveListener {
 public:
  explicit LocalSlaveListener(LocalListenerOptions options);
  ~LocalSlaveListener() override;  ///< also ends the slaves that it has started

  void start() override {}  ///< there is no port to open
  void stop() override {}

  /// Starts a slave in a directory, which is made if it is missing, and returns the slave when it is set up and in the
  /// collection. The program may register only under its own name.
  ///
  /// Throws Error with local_os_error if the program cannot be started, with in_use if the name is taken, with os_error
  /// and os() if the slave cannot use the directory, and with refused if a slave class or setup() refuses it. Throws
  /// Timeout if the slave does not register within `handshake_timeout` or is not set up by the deadline, and
  /// ConnectionLost if the program ends before that; both contain the last output of the program. Throws Cancelled
  /// after a stop, and ProtocolError if the program is not a slave. In all these cases everything that the program has
  /// started is ended.
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const StartOptions& options = {});

  /// Short form: start_slave(basedir, "w1"). A template, so that braces always mean StartOptions.
  template <std::convertible_to<std::string> Name>
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const Name& name) {
    return start_slave(basedir, StartOptions{.name = name});
  }

  /// Like start_slave(), without a thread that waits. Throws at once if the options are invalid or the program cannot
  /// be started; Pending::wait() throws all other errors. Cancelling or destroying the Pending ends a slave that is not
  /// set up yet.
  Pending<std::shared_ptr<Slave>> launch_slave(const std::string& basedir, StartOptions options = {});

  /// Ends a slave and everything that it is doing, and waits until its process is gone. May be called from setup() and
  /// on_disconnect(), even those of the same slave. Returns false if the slave is not, or no longer, a slave of this
  /// listener.
  bool kill_slave(const std::shared_ptr<Slave>& slave);

 private:
  struct Local;
  std::unique_ptr<Local> local_;
};

}  // namespace remsh
