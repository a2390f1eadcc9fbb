// Listener: accepts message connections.
#pragma once

#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/log.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/messages/address_family.hpp>
#include <remsh/messages/auth_key.hpp>
#include <remsh/messages/message_connection.hpp>
#include <remsh/transport/stranger_limits.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

/// Options of a Listener.
struct MessageListenerOptions {
  AddressFamily family = AddressFamily::any;
  int backlog = 128;  ///< passed to listen(2): connections that the system keeps until the listener accepts them

  /// The key that clients must prove to have, and that this side proves to them. Not set: everybody who can connect is
  /// accepted.
  std::optional<AuthKey> authkey = {};

  /// True: throws Error with invalid_argument if `authkey` is not set. For programs that get their key from elsewhere.
  bool authenticate = false;

  /// Refuse proofs by MD5, the only ones that Python up to 3.11 knows. Not set: MD5 is accepted only if the listener
  /// can be reached from this machine alone.
  std::optional<bool> require_sha256 = {};

  /// Allow plain TCP beyond the loopback, where an attacker on the network can read and change all messages, and take
  /// over a connection after the proof. For two C++ programs use tls:HOST:PORT instead.
  bool insecure = false;

  /// The mode of the file of a unix socket: the right to write is the right to connect. 0660 lets the group in. For an
  /// abstract name, which has no file, the user and the group of each client are compared instead. Not set: 0600.
  std::optional<unsigned> mode = {};

  std::chrono::milliseconds handshake_timeout{10000};  ///< for the proofs, and TLS
  std::size_t max_handshakes = 256;  ///< beyond that, the oldest one of the busiest address is dropped
  StrangerLimits strangers = {};

  LogHook log = {};
};

/// Accepts connections of Clients, in C++ or in Python. It listens from its construction on.
///
///     remsh::Listener listener("localhost:6000", {.authkey = key});
///     for (;;) {
///       try {
///         remsh::MessageConnection connection = listener.accept();
///         connection.send_bytes("hello");
///       } catch (const remsh::AuthenticationError& error) {  // somebody without the key: the listener goes on
///         std::cerr << error.what() << '\n';
///       } catch (const remsh::ConnectionLost&) {  // the client has left
///       }
///     }
///
/// The proofs are made in the background, up to `max_handshakes` at a time and each within `handshake_timeout`: a
/// client that is silent delays no other one. Thread-safe.
class REMSH_API Listener {
 public:
  /// The address is one of
  ///
  ///     localhost:6000, 127.0.0.1:6000, [::1]:6000   TCP; with port 0 the system picks one. A name: its IPv4 address
  ///     tls:localhost:6000                           TLS, with a key of 32 bytes
  ///     /run/farm/socket, ./socket                   a unix socket
  ///     @name                                        a unix socket in the abstract namespace of Linux
  ///     (empty)                                      a unix socket in a new directory that only this user can enter
  ///
  /// or what else the library takes for an address: tcp:HOST:PORT, unix:PATH. Throws Error with invalid_argument for
  /// an address or a combination of options that makes no sense, in_use if the address is taken, and local_os_error.
  explicit Listener(const std::string& address = {}, MessageListenerOptions options = {});
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();  ///< closes

  /// Waits for the next client that has proven the key. Throws AuthenticationError once for each proof that failed; the
  /// listener goes on. (Clients that only disconnect, and failures beyond 16 that wait, are only logged.) Throws
  /// Timeout; and Cancelled after a stop, or when the listener is closed.
  MessageConnection accept(const WaitOptions& options = {});

  /// The same, started: see Pending.
  [[nodiscard]] Pending<MessageConnection> start_accept(const WaitOptions& options = {});

  /// Ends the listening, and the proofs that are being made. The file of a unix socket is removed. Accepted connections
  /// stay. Calls of accept() throw.
  void close();

  /// Where it listens, as a Client takes it: "127.0.0.1:6000", with the actual port. Valid also after close().
  [[nodiscard]] std::string address() const;

  /// The address of the client that accept() returned last: "127.0.0.1:40112". Not set if there is none, or if it came
  /// over a unix socket.
  [[nodiscard]] std::optional<std::string> last_accepted() const;

 private:
  class AcceptWork;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace remsh
