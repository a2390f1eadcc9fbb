// Error: the exceptions of the library.
#include <remsh/base/error.hpp>

#include "base/errno_name.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <utility>

namespace remsh {

namespace {

// Any part may come from a peer, so control bytes are escaped before they reach a terminal or a log.
std::string sentence(Errc code, const std::string& slave, const std::string& operation, const std::string& message,
                     std::error_code os) {
  std::string text;
  if (!slave.empty()) text += formatted("slave '{}': ", slave);
  if (!operation.empty()) text += operation + ": ";
  if (!message.empty()) {
    text += message;
  } else if (os) {
    text += os.message();
  } else {
    text += to_string(code);
  }
  if (os) {
    const std::string_view name = errno_name(os.value());
    const std::string suffix = name.empty() ? formatted(" (errno {})", os.value()) : formatted(" ({})", name);
    if (!text.ends_with(suffix)) text += suffix;
  }
  return without_controls(text);
}

}  // namespace

std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::os_error: return "os_error";
    case Errc::local_os_error: return "local_os_error";
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::too_large: return "too_large";
    case Errc::unsupported: return "unsupported";
    case Errc::busy: return "busy";
    case Errc::remote_failure: return "remote_failure";
    case Errc::timeout: return "timeout";
    case Errc::cancelled: return "cancelled";
    case Errc::connection_lost: return "connection_lost";
    case Errc::refused: return "refused";
    case Errc::auth_failed: return "auth_failed";
    case Errc::protocol_error: return "protocol_error";
    case Errc::in_use: return "in_use";
  }
  return "?";
}

std::string_view to_string(DisconnectReason reason) noexcept {
  switch (reason) {
    case DisconnectReason::closed_here: return "closed_here";
    case DisconnectReason::closed_there: return "closed_there";
    case DisconnectReason::released: return "released";
    case DisconnectReason::killed: return "killed";
    case DisconnectReason::cut: return "cut";
    case DisconnectReason::silent: return "silent";
    case DisconnectReason::refused: return "refused";
    case DisconnectReason::misbehaved: return "misbehaved";
  }
  return "?";
}

Error::Error(Errc code, std::string slave, std::string operation, std::string message, std::error_code os)
    : std::runtime_error(sentence(code, slave, operation, message, os)),
      code_(code),
      slave_(std::move(slave)),
      operation_(std::move(operation)),
      message_(std::move(message)),
      os_(os) {
  message_ = without_controls(message_);
}

ConnectionLost::ConnectionLost(DisconnectReason reason, std::string slave, std::string operation, std::string message,
                               std::error_code os)
    : Error(Errc::connection_lost, std::move(slave), std::move(operation), std::move(message), os), reason_(reason) {}

// Defined here so that the type information of each class exists once: host programs catch them across libraries.
Error::~Error() = default;
RemoteError::~RemoteError() = default;
Timeout::~Timeout() = default;
Cancelled::~Cancelled() = default;
ConnectionLost::~ConnectionLost() = default;
AuthError::~AuthError() = default;
ProtocolError::~ProtocolError() = default;

}  // namespace remsh
