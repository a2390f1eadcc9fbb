// UnixSlaveListener: accepts slaves over a unix socket.
#pragma once

#include <remsh/master/slave_listener.hpp>

namespace remsh {

struct UnixListenerOptions {
  SlaveCollection& slave_collection;
  SlaveFactory slave_class = {};
  std::optional<KeyRing> keys = {};  ///< for slaves that use a key; none is needed here

  /// The path of the socket, which is made with mode 0600. A stale socket is replaced; one in use is not. A relative
  /// path begins in the current directory at the time when the listener is constructed.
  std::string path;
  int backlog = 4096;

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

/// Accepts slaves of this host over a unix socket, only those of our own user or root.
class REMSH_API UnixSlaveListener final : public SlaveListener {
 public:
  explicit UnixSlaveListener(UnixListenerOptions options);
  ~UnixSlaveListener() override;

  void start() override;
  void stop() override;  ///< also removes the socket file, if it is still ours

  /// "unix:/run/farm.sock".
  [[nodiscard]] std::string address() const override;

 private:
  struct Unix;
  std::unique_ptr<Unix> unix_;
};

}  // namespace remsh
