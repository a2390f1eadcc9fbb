// SlaveServer: serves a master's operations on this machine; what remsh-slave is made of, to embed.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/log.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/trace.hpp>
#include <remsh/slave/operation_context.hpp>
#include <remsh/slave/served_operation.hpp>
#include <remsh/transport/tls.hpp>
#include <remsh/transport/transport.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// What a slave does for its master, whoever that is: docs/security.md says what it guards against and what not. What
/// it forbids is answered with RemoteError, whose os() is std::errc::operation_not_permitted.
struct SlavePolicy {
  /// No path of a file operation leads out of this directory, by whatever links; made where it is missing. It does not
  /// hold for what commands and operations of your own do by themselves. Empty: none.
  std::string root = {};

  /// The operations of docs/protocol.md section 7, and of your own, that it does; none: all. `ping` always.
  std::optional<std::vector<std::string>> allow = {};
  bool no_execute = false;  ///< no commands, whatever `allow` says
};

/// How a slave presents itself and behaves. Every member has a default.
struct SlaveOptions {
  std::string name = {};  ///< 1 to 64 of [A-Za-z0-9._-], begins with a letter or digit; empty: the host's name
  /// Where relative paths begin; made where it is missing. Empty: the current directory, or the policy's root, beneath
  /// which it has to be, and where it begins if it is relative.
  std::string basedir = {};
  SlavePolicy policy = {};
  std::string software = {};  ///< empty: "remsh VERSION"

  /// Proves the name to the master, and by the same key the master proves that it is the right one: no other is served,
  /// over whatever it comes. Without, a slave serves who holds the other end of a serve()d transport, or listens at a
  /// unix socket as our own user or root.
  std::optional<Secret> key = {};

  /// The file that the key is in, in place of `key`: see read_slave_key(). It is read for each connection, so that a
  /// new key counts from the next one on, without a restart. The slave has the name of its key; if `name` or a later
  /// key says another one, that key does not count. If the file cannot be read again, the key that was read before
  /// counts, and the log says why.
  std::string key_file = {};

  /// A `ca`: over TLS the master is known by a certificate of the server_name (empty: the host of the address), and the
  /// slave by its key as ever. A file of it is read for each connection. Without, the key does both.
  TlsTrust tls = {};

  /// Serves a master on the loopback over plain TCP without a key: any user of this host may take its place.
  bool keyless = false;

  /// Serves a master beyond the loopback over plain TCP, by the key: who is on the way can read all of it, and do to
  /// this slave what the master can. It is said in the log.
  bool insecure = false;

  /// run(): the pause before it connects again is a random one below a limit. The limit begins with back_off_min and
  /// doubles with each pause up to 2 s, and up to back_off_max if the master turns this slave away, or has been away
  /// for 5 minutes. A connection that lasted for 10 s takes it back to back_off_min.
  std::chrono::milliseconds back_off_min{500};
  std::chrono::milliseconds back_off_max{60000};
  std::chrono::milliseconds handshake_timeout{20000};   ///< from the connect to the master's welcome, TLS and all
  std::chrono::milliseconds keepalive_patience{10000};  ///< how long a master that should be heard may be silent
  /// How many operations run at the same time, beside commands and transfers; further ones wait. One that has run for
  /// over a second does not count any more if others wait for it, so that a disk that hangs stops nothing else.
  unsigned threads = 64;
  unsigned protocol = 2;  ///< 1: serves masters of the original remsh instead, see docs/remsh1.md
  LogHook log = {};
  TraceHook trace = {};  ///< told of every box
};

/// Why a connection of a slave ended.
struct ServeResult {
  enum class Reason {
    stopped,      ///< stop() was called
    ended,        ///< the master ended it: said goodbye, or closed
    lost,         ///< it was cut, or the master fell silent
    unreachable,  ///< it never came to be
    refused,      ///< the master does not want this slave, and said why; or one does not take the other's proof
    protocol,     ///< the master does not speak our protocol
  };
  Reason reason = Reason::ended;
  std::string message;
  bool registered = false;             ///< it had been let in
  std::chrono::milliseconds retry{0};  ///< when the master wants it back; 0: it did not say
};

/// Serves masters' operations on this machine. Thread-safe; add_operation() before it serves.
///
///     remsh::SlaveServer server({.name = "worker1", .basedir = "/srv/worker1", .key = key});
///     server.run("tls:farm.example.org:9876");   // until stop()
class REMSH_API SlaveServer {
 public:
  explicit SlaveServer(SlaveOptions options);
  SlaveServer(const SlaveServer&) = delete;
  SlaveServer& operator=(const SlaveServer&) = delete;

  /// Stops, and waits until run() and serve() have returned, and every operation of your own. Operations of the library
  /// that hang in the operating system are not waited for; their threads use nothing of yours.
  ~SlaveServer();

  /// An operation that the master calls with SlaveOperations::call(). The name: [a-z0-9][a-z0-9_-]{0,63}, not one of
  /// ours and not yet taken.
  void add_operation(std::string name, Operation operation);

  /// Connects to "tls:HOST:PORT", "HOST:PORT", "[::1]:PORT" or "unix:PATH" and serves until that ends; then connects
  /// again, after a pause that grows (full jitter), until stop(). Blocks. A master that cannot be proven, or does not
  /// take our proof, is tried again in the same way, and never with less. Throws Error where the address cannot be one,
  /// or the options do not allow for it: then the message says what to do.
  ServeResult run(const std::string& address);

  /// The same, but once.
  ServeResult run_once(const std::string& address);

  /// If run() waits before it connects again, it connects now; if it is connecting, it does not wait after a failure.
  /// A connection that is there stays. For a program that is told of a new key, or that its master is back.
  void connect_now();

  /// Serves one connection that is there already. Blocks until it ends; then operations that do not return within 2 s
  /// are left behind, with a warning in the log.
  ServeResult serve(std::unique_ptr<Transport> transport);

  /// The operations that it does for its master, in the order in which they began; among them those of connections that
  /// have ended which have not returned yet. For status pages.
  [[nodiscard]] std::vector<ServedOperation> operations_in_progress() const;

  /// Ends everything from any thread, also from a signal-handling thread; commands are killed. Returns at once.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
