// TcpSlaveListener: slaves that call in over TCP.
#pragma once

#include <remsh/master/slave_listener.hpp>

#include <cstdint>

namespace remsh {

struct TcpListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};

  /// Loopback only, for as long as slaves have no keys: every local user can connect. "127.0.0.1" or "::1".
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: the system picks one, see address()
  int backlog = 4096;

  bool remsh1 = false;  ///< take slaves of the original remsh too: docs/remsh1.md says what they cannot do

  bool tcp_keepalive = true;                          ///< SO_KEEPALIVE on every connection
  std::chrono::milliseconds tcp_user_timeout{20000};  ///< TCP_USER_TIMEOUT, where the system has it; 0: leave it alone

  std::chrono::milliseconds keepalive{10000};
  std::chrono::milliseconds keepalive_patience{10000};
  std::chrono::milliseconds handshake_timeout{10000};
  std::chrono::milliseconds arbitration_timeout{5000};
  std::size_t max_handshakes = 256;

  LogHook log = {};
  TraceHook trace = {};
  AuditHook audit = {};
  std::shared_ptr<Runtime> runtime = {};
};

/// Slaves that call in over TCP. The port is not opened before start().
///
///     remsh::SlaveCollection slaves;
///     remsh::TcpSlaveListener listener({.slave_collection = slaves, .port = 9876});
///     listener.start();
class REMSH_API TcpSlaveListener final : public SlaveListener {
 public:
  explicit TcpSlaveListener(TcpListenerOptions options);
  ~TcpSlaveListener() override;

  void start() override;
  void stop() override;

  /// "127.0.0.1:9876", the port resolved.
  [[nodiscard]] std::string address() const override;
  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Tcp;
  std::unique_ptr<Tcp> tcp_;
};

}  // namespace remsh
