// LocalSlaveListener: slaves of this host, started by us.
#pragma once

#include <remsh/master/slave_listener.hpp>

#include <optional>
#include <vector>

namespace remsh {

struct LocalListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};

  /// What to start; "--stdio --basedir DIR --name NAME" is added. Empty: "remsh-slave", found on the PATH.
  std::vector<std::string> command = {};

  /// Start this very program instead, whose main() begins with remsh::run_embedded_slave(argc, argv).
  bool embedded = false;

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
class REMSH_API LocalSlaveListener final : public SlaveListener {
 public:
  explicit LocalSlaveListener(LocalListenerOptions options);
  ~LocalSlaveListener() override;  ///< also ends the slaves that it started

  void start() override {}  ///< there is no port to open
  void stop() override {}

  /// Starts a slave in a directory (made where it is missing) and gives it, once it is set up and in the collection.
  /// The name: empty: "local-N"; the program may register under this name only. Throws Error: what could not be
  /// started, and why; what the slave said on its way out is on our stderr.
  std::shared_ptr<Slave> start_slave(const std::string& basedir, const std::string& name = {});

  /// Ends a slave and whatever it is doing, and waits until its process is gone. False where it is not one of ours.
  bool kill_slave(const std::shared_ptr<Slave>& slave);

 private:
  struct Local;
  std::unique_ptr<Local> local_;
};

}  // namespace remsh
