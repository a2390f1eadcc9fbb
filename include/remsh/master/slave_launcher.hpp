// SlaveLauncher: starts slaves that connect back to a listener, each with a key of its own.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/pending.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/slave_listener.hpp>
#include <remsh/master/start_options.hpp>

#include <chrono>
#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

struct LauncherOptions {
  /// To which they connect: it has `keys`, and is started. It should outlive the launcher, its collection must.
  SlaveListener& listener;

  /// What to start: {"ssh", "HOST", "remsh-slave"}, for one. Added is
  /// "--master=ADDRESS --name=NAME --basedir=DIR --key=- --until-eof", in a form that shells on the way leave alone:
  /// see LocalListenerOptions. Empty: "remsh-slave", found on the PATH.
  std::vector<std::string> command = {};

  /// Start this very program instead, whose main() begins with remsh::run_embedded_slave(argc, argv).
  bool embedded = false;

  /// The environment of the program: PATH, HOME, the locale and a few more variables of this program's environment, so
  /// that secrets in that reach no slave (docs/security.md has the list), changed by `env`; nullopt: unset.
  std::map<Bytes, std::optional<Bytes>> env = {};
  bool clear_env = false;    ///< begin with an empty environment instead
  bool inherit_env = false;  ///< begin with all of this program's environment instead

  /// The listener as slaves reach it: "tls:master.example.org:9876". Empty: its address(), which is good on this host.
  std::string master = {};

  std::chrono::milliseconds kill_after{10000};  ///< from telling a slave to end to SIGKILL for the program
};

/// Starts slaves that connect back to a listener. Each gets a new key by its standard input: it is an ordinary slave
/// that comes again when its connection is lost, for as long as its process lives, and with that the key ends. The key
/// is in no argument, environment, file or log. Thread-safe.
///
///     remsh::SlaveLauncher launcher({.listener = listener, .command = {"ssh", "worker1", "remsh-slave"},
///                                    .master = "tls:master.example.org:9876"});
///     auto slave = launcher.start_slave("/srv/worker1", "worker1");
///
/// What the program writes to standard output and error goes to the listener's log, line by line. If it ends other than
/// in order (it was killed, for one), what it started is ended as well. Its standard input
/// stays open until the launcher lets go: a slave that is told --until-eof ends with it, also where this program dies.
class REMSH_API SlaveLauncher {
 public:
  explicit SlaveLauncher(LauncherOptions options);
  SlaveLauncher(const SlaveLauncher&) = delete;
  SlaveLauncher& operator=(const SlaveLauncher&) = delete;
  ~SlaveLauncher();  ///< ends all slaves that it started, as kill_slave() does; not in a callback of the listener

  /// Starts a slave in a directory (made if it is missing; empty: where the program begins) and gives it, once it is
  /// set up and in the collection. When it has come and gone, and came again, it is in the collection as another Slave.
  ///
  /// Throws Error: in_use if the name is, local_os_error if the program cannot be started, os_error with os() if the
  /// slave cannot work there (the directory cannot be made); ConnectionLost if it ended before, Timeout if it has not
  /// come by the deadline, Cancelled after a stop, with what it said last. Then the program is ended with all that it
  /// started, and its key.
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const StartOptions& options = {});

  /// The same in short: start_slave(basedir, "w1"). A template, so that braces are always StartOptions.
  template <std::convertible_to<std::string> Name>
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const Name& name) {
    return start_slave(basedir, StartOptions{.name = name});
  }

  /// start_slave() without a thread that waits: see LocalSlaveListener::launch_slave().
  Pending<std::shared_ptr<Slave>> launch_slave(const std::string& basedir, StartOptions options = {});

  /// Ends a slave and whatever it is doing, and waits until its process is gone. Its key ends first, so that nobody can
  /// take its place. Any Slave object of this process will do, also of a connection that is lost. False where the
  /// process is not (any more) one of ours.
  bool kill_slave(const std::shared_ptr<Slave>& slave);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace remsh
