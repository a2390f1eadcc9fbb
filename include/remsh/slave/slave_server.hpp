// SlaveServer: serves a master's operations on this machine; for programs that embed a slave.
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
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// What a slave permits its master to do, regardless of who that is; docs/security.md says what this protects.
/// Forbidden requests are answered with a RemoteError, whose os() is std::errc::operation_not_permitted.
struct SlavePolicy {
  /// Paths of file operations cannot lead out of this directory, even by links. It is made if it is missing. It does
  /// not restrict commands and operations of your own. Empty: no restriction.
  std::string root = {};

  /// The permitted operations: those of docs/protocol.md section 7, and your own. nullopt: all. `ping` is always
  /// permitted.
  std::optional<std::vector<std::string>> allow = {};
  bool no_execute = false;  ///< no commands, even if `allow` has `execute`

  /// The accounts, besides the slave's own, as which commands may run (ExecuteOptions::user). This needs a slave that
  /// runs as root.
  std::vector<std::string> users = {};
};

/// How a slave presents itself and behaves. Every member has a default.
struct SlaveOptions {
  std::string name = {};  ///< 1 to 64 of [A-Za-z0-9._-], begins with a letter or digit; empty: the host's name
  /// Where relative paths begin. It is made if it is missing. It must be inside the policy's root, if there is one, and
  /// a relative one begins there. Empty: that root, or else the current directory.
  std::string basedir = {};
  SlavePolicy policy = {};
  std::string software = {};  ///< empty: "remsh VERSION"

  /// What the operator of this machine says of it: SlaveInfo::claimed_labels. In the form of KeyTerms::labels, and
  /// together at most 1,024 bytes with a byte more for each. The key vouches for none of them.
  std::map<std::string, std::string> labels = {};

  /// How many jobs this machine has room for, and what else of it can be counted, as {"gpu", 2}: what a master can
  /// reserve shares of (ReserveOptions). Names are those of labels, counts 1 to 1,000,000,000, and all together have at
  /// most 256 bytes as NAME=COUNT, with a byte more for each. The key vouches for none of them, and the slave does not
  /// check what its master uses.
  std::uint64_t slots = 1;
  std::map<std::string, std::uint64_t> resources = {};

  /// The key that proves the name to the master. The master must prove that it has the same key; the slave serves no
  /// other master, on any kind of connection. Without a key, a slave serves the other end of a transport that was given
  /// to serve(), and a master on a unix socket that runs as our own user or root.
  std::optional<Secret> key = {};

  /// The file of the key, instead of `key`: see read_slave_key(). It is read for each connection, so that a new key is
  /// used from the next connection on, without a restart. The slave has the name in the file. A key of another name
  /// (than `name`, or than the first one) is not used. If the file cannot be read again, the previous key is used, and
  /// the log says why.
  std::string key_file = {};

  /// If `ca` is set, a master over TLS must show a certificate for server_name (empty: the host of the address); the
  /// slave still proves its key. A `ca` file is read for each connection. Otherwise the key authenticates both sides.
  TlsTrust tls = {};

  /// Serve a master on the loopback over plain TCP without a key: any user of this host can take the master's place.
  bool keyless = false;

  /// Serve a master beyond the loopback over plain TCP, with a key: an attacker on the network can read everything and
  /// do to this slave what the master can. The log says so.
  bool insecure = false;

  /// Compress the data of streams in both directions, if the master allows it (Remsh2Options::compression): for a slow
  /// link. docs/security.md says what it reveals. Without effect on protocol 1. The constructor of SlaveServer throws
  /// Error with unsupported if this library was built without zstd.
  bool compression = false;

  /// run(): the pause before the slave reconnects is random, below a limit. The limit begins at back_off_min and
  /// doubles with each pause up to 2 s, or up to back_off_max if the master refuses this slave or has been away for 5
  /// minutes. A connection that lasted 10 s resets the limit to back_off_min.
  std::chrono::milliseconds back_off_min{500};
  std::chrono::milliseconds back_off_max{60000};

  /// When the slave ends by itself, as if by stop(); 0: never. A master that it has then hears why. `idle_exit`: no
  /// operation has run for this long. `lifetime`: so long after this SlaveServer was made, as soon as no operation
  /// runs. `give_up_after`: no master has accepted it for this long.
  std::chrono::milliseconds idle_exit{0};
  std::chrono::milliseconds lifetime{0};
  std::chrono::milliseconds give_up_after{0};

  /// Slave::restart() of the master ends run() with ServeResult::restart, and the program that has set this then starts
  /// itself again. Otherwise the slave refuses it. run_slave_program() sets this if it can do that.
  bool restarts = false;

  std::chrono::milliseconds handshake_timeout{20000};   ///< from the connect to the master's welcome, including TLS
  std::chrono::milliseconds keepalive_patience{10000};  ///< how long a master may be silent when it should be heard
  /// How many operations run at the same time, not counting commands and transfers; further ones wait. An operation
  /// that has run for over a second does not count if others wait, so that a hanging disk blocks nothing else.
  unsigned threads = 64;
  unsigned protocol = 2;  ///< 1: serve masters of the original remsh instead, see docs/remsh1.md

  /// Programs of the owner of this machine that run before and after each command, in its directory; empty: none. A
  /// path with a slash. `before_command` forbids the command unless it exits with 0; the master gets an error that
  /// names it. `after_command` runs when the command and everything that it started have ended, if `before_command`
  /// has allowed it, and before the master hears of the end. docs/remsh-slave.md has the variables that they get.
  std::string before_command = {};
  std::string after_command = {};
  std::chrono::milliseconds hook_timeout{60000};  ///< for each run of a hook; then it is killed, and has failed

  LogHook log = {};
  TraceHook trace = {};  ///< called with every box
};

/// Why a connection of a slave ended.
struct ServeResult {
  enum class Reason {
    stopped,      ///< stop() or drain() was called, or the master has shut this slave down
    ended,        ///< the master said goodbye or closed the connection
    lost,         ///< the connection was cut, or the master was silent for too long
    unreachable,  ///< the connection could not be made
    refused,      ///< the master refused this slave and said why, or one side rejected the other's proof
    protocol,     ///< the master violated the protocol
    left,         ///< the slave has ended by itself: `idle_exit` or `lifetime`
  };
  Reason reason = Reason::ended;
  std::string message;
  bool registered = false;             ///< true if the master had admitted the slave
  std::chrono::milliseconds retry{0};  ///< when the master wants it to reconnect; 0: it did not say
  bool restart = false;                ///< the master wants the program to start again: SlaveOptions::restarts
};

/// Serves a master's operations on this machine. Thread-safe; call add_operation() before it serves.
///
///     remsh::SlaveServer server({.name = "worker1", .basedir = "/srv/worker1", .key = key});
///     server.run("tls:farm.example.org:9876");   // until stop()
class REMSH_API SlaveServer {
 public:
  explicit SlaveServer(SlaveOptions options);
  SlaveServer(const SlaveServer&) = delete;
  SlaveServer& operator=(const SlaveServer&) = delete;

  /// Stops, and waits until run(), serve() and every operation of your own have returned. Operations of the library
  /// that hang in the operating system are not waited for; their threads use no object of yours.
  ~SlaveServer();

  /// Registers an operation that the master calls with SlaveOperations::call(). The name must match
  /// [a-z0-9][a-z0-9_-]{0,63}, and must be neither an operation of the library nor registered already.
  void add_operation(std::string name, Operation operation);

  /// Connects to "tls:HOST:PORT", "HOST:PORT", "[::1]:PORT" or "unix:PATH" and serves until the connection ends; then
  /// reconnects after a growing random pause, until stop(). Blocks. A master that fails to prove itself, or rejects our
  /// proof, is retried in the same way, never with weaker checks. Throws Error if the address is invalid or the options
  /// do not permit it; the message says what to do.
  ///
  /// If there are several masters, it tries them in turn, without a pause, until one accepts it. It begins with the
  /// first of them again after each pause, and after each connection that was of use. If none accepts it, that counts
  /// as one failure.
  ServeResult run(const std::string& address, const std::vector<std::string>& others = {});

  /// Like run(), but does not reconnect: returns when the connection of the first master that accepts it has ended, or
  /// when no master has accepted it.
  ServeResult run_once(const std::string& address, const std::vector<std::string>& others = {});

  /// Replaces the masters of run(), from its next connection on. An existing connection stays. Throws Error as run()
  /// does.
  void set_masters(const std::string& address, const std::vector<std::string>& others = {});

  /// If run() waits before it reconnects, it connects now; if it is connecting, it skips the pause after a failure. An
  /// existing connection stays. For a program that learns of a new key, or that its master is back.
  void connect_now();

  /// Serves one existing connection. Blocks until it ends; operations that do not return within 2 s after that are left
  /// behind, with a warning in the log.
  ServeResult serve(std::unique_ptr<Transport> transport);

  /// The operations that it does for its master, in the order in which they began, including operations of ended
  /// connections that have not returned yet. For status pages.
  [[nodiscard]] std::vector<ServedOperation> operations_in_progress() const;

  /// Announces to the master that this slave will end, and returns at once. The slave ends when the master lets it go:
  /// the master gives it no new work, and lets it go as soon as nothing is under way on it. After `within`, the slave
  /// ends its commands, and leaves; that takes as long as the end of a connection, and a second. Without a connection
  /// it stops at once. Like stop(), it ends run(), and may be called from any thread. A second call can only shorten
  /// the time.
  void drain(std::chrono::milliseconds within, const std::string& reason = "the slave stops");

  /// Ends everything and returns at once; commands are killed. May be called from any thread, including one that
  /// handles signals.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
