// Error: how the library says that something went wrong, and to whom.
#pragma once

#include <remsh/base/export.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace remsh {

/// What went wrong, as a program wants to know it.
enum class Errc {
  os_error,          ///< the operating system of the slave refused: see Error::os()
  local_os_error,    ///< the operating system of this program refused: see Error::os()
  invalid_argument,  ///< the request makes no sense as it is; nothing was sent or done
  too_large,         ///< over a documented limit; nothing was done
  unsupported,       ///< the other side does not know the operation
  busy,              ///< the other side has no room for one more operation now
  remote_failure,    ///< the operation failed for a reason of its own: see the message
  timeout,           ///< the caller's deadline passed
  cancelled,         ///< the caller's stop_token was triggered, or the slave was told to stop
  connection_lost,   ///< the connection ended before the answer came
  refused,           ///< the other side does not want this connection, and says why
  auth_failed,       ///< the other side is not who it should be
  protocol_error,    ///< the other side does not keep to the protocol
  in_use,            ///< a name or an address is taken
};

/// The name of a code, as in messages and logs: "os_error".
REMSH_API std::string_view to_string(Errc code) noexcept;

/// Why a connection ended.
enum class DisconnectReason {
  closed_here,   ///< by disconnect(), by the end of the listener, or because nobody held the slave any more
  closed_there,  ///< the other side said goodbye: it was told to stop, for example
  killed,        ///< the slave was ended by kill_slave()
  cut,           ///< it broke without a goodbye: the process was killed, the machine went down, the network failed
  silent,        ///< nothing came from the other side for too long
  refused,       ///< the slave was not wanted: by its class or its setup(), or its key does not count any more
  misbehaved,    ///< the other side did not keep to the protocol
};

/// The name of a reason, as in logs: "closed_here".
REMSH_API std::string_view to_string(DisconnectReason reason) noexcept;

/// The root of everything that the library throws.
///
/// `what()` is one sentence: "slave 'w1': rename 'a' to 'b': File exists (EEXIST)".
class REMSH_API Error : public std::runtime_error {
 public:
  Error(Errc code, std::string slave, std::string operation, std::string message, std::error_code os = {});
  ~Error() override;

  [[nodiscard]] Errc code() const noexcept { return code_; }

  /// The name of the slave concerned; empty where there is none.
  [[nodiscard]] const std::string& slave() const noexcept { return slave_; }

  /// The operation that failed, with its most telling argument: "stat '/etc/passwd'".
  [[nodiscard]] const std::string& operation() const noexcept { return operation_; }

  /// The cause alone, without slave and operation.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

  /// The error of an operating system, in the generic category; compares with std::errc.
  [[nodiscard]] std::error_code os() const noexcept { return os_; }

 private:
  Errc code_;
  std::string slave_;
  std::string operation_;
  std::string message_;
  std::error_code os_;
};

/// The slave answered that it could not do it. The slave stays usable.
class REMSH_API RemoteError : public Error {
 public:
  using Error::Error;
  ~RemoteError() override;
};

/// The caller's deadline passed; the operation is being cancelled. The slave stays usable.
class REMSH_API Timeout : public Error {
 public:
  using Error::Error;
  ~Timeout() override;
};

/// The caller's stop_token was triggered; the operation is being cancelled. The slave stays usable.
class REMSH_API Cancelled : public Error {
 public:
  using Error::Error;
  ~Cancelled() override;
};

/// The connection is gone; so are all calls on it, and whether they were done is unknown.
class REMSH_API ConnectionLost : public Error {
 public:
  using Error::Error;
  ConnectionLost(DisconnectReason reason, std::string slave, std::string operation, std::string message,
                 std::error_code os = {});
  ~ConnectionLost() override;

  [[nodiscard]] DisconnectReason reason() const noexcept { return reason_; }

 private:
  DisconnectReason reason_ = DisconnectReason::cut;
};

/// The other side could not prove who it is, or refused our proof.
class REMSH_API AuthError : public Error {
 public:
  using Error::Error;
  ~AuthError() override;
};

/// The other side sent what the protocol does not allow; the connection is closed.
class REMSH_API ProtocolError : public Error {
 public:
  using Error::Error;
  ~ProtocolError() override;
};

}  // namespace remsh
