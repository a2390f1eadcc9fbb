// Client: connects to a Listener.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/messages/address_family.hpp>
#include <remsh/messages/auth_key.hpp>
#include <remsh/messages/message_connection.hpp>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// Options of a Client.
struct ClientOptions {
  AddressFamily family = AddressFamily::any;

  /// The key of the listener. Not set: no proof is made or demanded.
  std::optional<AuthKey> authkey = {};

  /// True: throws Error with invalid_argument if `authkey` is not set. For programs that get their key from elsewhere.
  bool authenticate = false;

  /// Refuse proofs by MD5, the only ones that Python up to 3.11 knows. Not set: MD5 is accepted only if
  /// the listener is on this machine.
  std::optional<bool> require_sha256 = {};

  /// Allow plain TCP to other machines: see MessageListenerOptions::insecure.
  bool insecure = false;

  CallDeadline deadline = std::chrono::seconds(10);  ///< for the look-up of a name, the connection, and the proofs
  std::stop_token stop = {};
};

/// A connection to a Listener, in C++ or in Python.
///
///     remsh::Client connection("localhost:6000", {.authkey = key});
///     const remsh::Value greeting = connection.recv();
class REMSH_API Client : public MessageConnection {
 public:
  /// Connects, and makes the proofs if there is a key. The address is one that Listener::address() returns, or that a
  /// Listener takes. Throws AuthenticationError, Timeout, Cancelled, ConnectionLost, and Error with invalid_argument or
  /// local_os_error.
  explicit Client(const std::string& address, const ClientOptions& options = {});
};

}  // namespace remsh
