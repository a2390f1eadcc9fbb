// Error: the exceptions of the library.
#pragma once

#include <remsh/base/export.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace remsh {

/// The kind of an error, for programs.
enum class Errc {
  os_error,          ///< the operating system of the slave refused: see Error::os()
  local_os_error,    ///< the operating system of this program refused: see Error::os()
  invalid_argument,  ///< the request is invalid; nothing was sent or done
  too_large,         ///< a documented limit is exceeded; nothing was done
  unsupported,       ///< the other side does not know the operation
  busy,              ///< the other side has no room for one more operation now
  remote_failure,    ///< the operation itself failed: see the message
  timeout,           ///< the caller's deadline passed
  cancelled,         ///< the caller's stop_token was triggered, or the slave was asked to stop
  connection_lost,   ///< the connection ended before the answer came
  refused,           ///< the other side refuses this connection, and says why
  auth_failed,       ///< the other side could not prove its identity
  protocol_error,    ///< the other side violates the protocol
  in_use,            ///< a name or an address is taken
};

/// The name of a code, as in messages and logs: "os_error".
REMSH_API std::string_view to_string(Errc code) noexcept;

/// Why a connection ended.
enum class DisconnectReason {
  closed_here,   ///< by disconnect(), by the listener's destructor, or because no handle to the slave was left
  closed_there,  ///< the other side said goodbye, for example because it was stopped
  released,      ///< the slave had announced that it ends, and was let go or has left
  killed,        ///< the slave was ended by kill_slave()
  cut,           ///< it broke without a goodbye: the process was killed, the machine went down, the network failed
  silent,        ///< nothing was received from the other side for too long
  refused,       ///< by the slave class or setup(), or because the slave's key is no longer valid
  misbehaved,    ///< the other side violated the protocol
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

  /// The name of the slave concerned; empty if there is none.
  [[nodiscard]] const std::string& slave() const noexcept { return slave_; }

  /// The operation that failed, with its most important argument: "stat '/etc/passwd'".
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

/// The slave answered that the operation failed. The slave stays usable.
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

/// The connection is gone, and so are all calls on it. Whether they were done is unknown.
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

/// The other side could not prove its identity, or refused our proof.
class REMSH_API AuthError : public Error {
 public:
  using Error::Error;
  ~AuthError() override;
};

/// The other side violated the protocol; the connection is closed.
class REMSH_API ProtocolError : public Error {
 public:
  using Error::Error;
  ~ProtocolError() override;
};

}  // namespace remsh
