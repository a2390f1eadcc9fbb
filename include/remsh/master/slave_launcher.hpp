// SlaveLauncher: starts slaves that connect back to a listener, each with a key of its own.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/pending.hpp>
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
  /// The listener that the slaves connect to. It must have `keys` and be started. It should outlive the launcher; its
  /// collection must.
  SlaveListener& listener;

  /// The command to start, for example {"ssh", "HOST", "remsh-slave"}. "--master=ADDRESS --name=NAME --basedir=DIR
  /// --key=- --until-eof" is appended, in a form that shells on the way do not change: see LocalListenerOptions. Empty:
  /// "remsh-slave", found on the PATH.
  std::vector<std::string> command = {};

  /// Start this program itself instead of `command`. Its main() must begin with remsh::run_embedded_slave(argc, argv).
  bool embedded = false;

  /// Changes to the environment of the program; nullopt unsets a variable. By default the program gets only PATH, HOME,
  /// the locale and a few more variables of this program's environment, so that secrets in the others do not reach a
  /// slave; docs/security.md has the list.
  std::map<Bytes, std::optional<Bytes>> env = {};
  bool clear_env = false;    ///< start from an empty environment instead
  bool inherit_env = false;  ///< start from this program's whole environment instead

  /// The address at which slaves reach the listener: "tls:master.example.org:9876". Empty: its address(), which works
  /// on this host.
  std::string master = {};

  std::chrono::milliseconds kill_after{10000};  ///< the time from the request to end to SIGKILL
};

/// Starts slaves that connect back to a listener. Each gets a new key on its standard input. It reconnects when its
/// connection is lost, like any slave, for as long as its process lives; then its key ends. The key appears in no
/// argument, environment, file or log. Thread-safe.
///
///     remsh::SlaveLauncher launcher({.listener = listener, .command = {"ssh", "worker1", "remsh-slave"},
///                                    .master = "tls:master.example.org:9876"});
///     auto slave = launcher.start_slave("/srv/worker1", "worker1");
///
/// The standard output and error of the program go to the listener's log, line by line. If the program ends abnormally
/// (killed, for example), the processes that it started are ended too. Its standard input stays open until the launcher
/// closes it, or this program dies; a slave with --until-eof then ends.
class REMSH_API SlaveLauncher {
 public:
  explicit SlaveLauncher(LauncherOptions options);
  SlaveLauncher(const SlaveLauncher&) = delete;
  SlaveLauncher& operator=(const SlaveLauncher&) = delete;
  ~SlaveLauncher();  ///< ends all slaves that it started, like kill_slave(). Never in a callback of the listener

  /// Starts a slave in a directory, which is made if it is missing (empty: the directory in which the program starts),
  /// and returns the slave when it is set up and in the collection. If it loses its connection and reconnects, it
  /// enters the collection as a new Slave object.
  ///
  /// Throws Error with in_use if the name is taken, with local_os_error if the program cannot be started, and with
  /// os_error and os() if the slave cannot use the directory. Throws ConnectionLost if the program ends before the
  /// slave is set up, Timeout if the slave is not set up by the deadline, and Cancelled after a stop; these contain the
  /// last output of the program. In all these cases the program, everything that it has started, and its key are ended.
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const StartOptions& options = {});

  /// Short form: start_slave(basedir, "w1"). A template, so that braces always mean StartOptions.
  template <std::convertible_to<std::string> Name>
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const Name& name) {
    return start_slave(basedir, StartOptions{.name = name});
  }

  /// Like start_slave(), without a thread that waits: see LocalSlaveListener::launch_slave().
  Pending<std::shared_ptr<Slave>> launch_slave(const std::string& basedir, StartOptions options = {});

  /// Ends a slave and everything that it is doing, and waits until its process is gone. Its key ends first, so that no
  /// other process can take its place. Accepts any Slave object of this process, even one whose connection is lost.
  /// Returns false if the process is not, or no longer, one that this launcher started.
  bool kill_slave(const std::shared_ptr<Slave>& slave);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace remsh
