// TcpSlaveListener: accepts slaves over TCP.
#pragma once

#include <remsh/master/slave_listener.hpp>
#include <remsh/transport/tls.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

struct TcpListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};

  /// "tls:0.0.0.0:9876" or "tcp:127.0.0.1:9876", in the form that slaves take. Empty: made from `host` and `port`, with
  /// TLS if there are keys. If `address` is set, `host` and `port` must not be.
  std::string address = {};
  std::optional<std::string> host = {};    ///< not set: 127.0.0.1
  std::optional<std::uint16_t> port = {};  ///< 0 or not set: the system picks a free port, see address()
  int backlog = 4096;

  /// The keys that slaves may prove, and the passwords of Buildbot's workers: a KeyFile, or a KeyRing that is filled by
  /// calls. With TLS the key of a slave also
  /// encrypts its connection; no certificate is needed.
  std::optional<KeyRing> keys = {};

  /// A TLS certificate, for slaves that require one, and for Buildbot's workers. They need their keys or passwords as
  /// well. Files that it names are checked
  /// twice a second; a renewed certificate is used for new connections only. If the files do not match or cannot be
  /// read, nothing changes, and the log says so.
  std::optional<TlsIdentity> certificate = {};

  /// Accept unauthenticated slaves. Only on the loopback, where every local user can then connect.
  bool keyless = false;

  /// Allow plain TCP beyond the loopback, where an attacker on the network can take over a connection after the proof.
  /// Slaves of remsh need the same option.
  bool insecure = false;

  /// The protocols that slaves may speak. Protocols without keys, such as SlaveProtocol::remsh1(), need `keyless`.
  std::vector<SlaveProtocol> protocols = {SlaveProtocol::remsh2()};

  bool tcp_keepalive = true;                          ///< SO_KEEPALIVE on every connection
  std::chrono::seconds tcp_keepalive_idle{0};         ///< TCP_KEEPIDLE: silence before the first probe; 0: the default
  std::chrono::milliseconds tcp_user_timeout{20000};  ///< TCP_USER_TIMEOUT, if the system has it; 0: the default

  std::chrono::milliseconds keepalive{10000};
  std::chrono::milliseconds keepalive_patience{10000};
  std::chrono::milliseconds handshake_timeout{10000};
  std::chrono::milliseconds arbitration_timeout{5000};
  std::size_t max_handshakes = 256;
  StrangerLimits strangers = {};

  LogHook log = {};
  TraceHook trace = {};
  AuditHook audit = {};
  std::shared_ptr<Runtime> runtime = {};
};

/// Accepts slaves over TCP. The port is not opened before start().
///
///     remsh::SlaveCollection slaves;
///     remsh::TcpSlaveListener listener({.slave_collection = slaves, .port = 9876,
///                                       .keys = remsh::KeyFile("slaves.keys")});
///     listener.start();
class REMSH_API TcpSlaveListener final : public SlaveListener {
 public:
  explicit TcpSlaveListener(TcpListenerOptions options);
  ~TcpSlaveListener() override;

  void start() override;
  void stop() override;

  /// Reloads the files of the certificate now, for new connections; otherwise this happens within a second. Throws
  /// Error if they cannot be used; then nothing changes.
  void reload_certificate();

  /// "tls:127.0.0.1:9876", or "127.0.0.1:9876" without TLS, with the actual port.
  [[nodiscard]] std::string address() const override;
  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Tcp;
  std::unique_ptr<Tcp> tcp_;
};

}  // namespace remsh
