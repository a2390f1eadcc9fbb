// Connection: boxes over a Transport.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/transport/transport.hpp>

#include <memory>
#include <optional>

namespace remsh {

/// Boxes over a transport, usable alone. One thread may send while another reads; any may close.
///
///     remsh::Connection connection(remsh::socket_transport(fd, "peer"));
///     connection.send_box({{"hello", "world"}});
///     while (auto box = connection.read_box()) print(*box);
class REMSH_API Connection {
 public:
  explicit Connection(std::unique_ptr<Transport> transport, BoxLimits limits = {});
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();  ///< closes

  /// Sends a box whole. Throws Error with too_large (a value over 65535 bytes, or over the limits) or invalid_argument
  /// (an empty box) before anything is sent; ConnectionLost; Timeout, after which the connection is closed, as a part
  /// may have been sent.
  void send_box(const Box& box, Deadline deadline = {});

  /// The next box; nothing where the other side has ended the stream between two boxes. Throws ConnectionLost where it
  /// was cut inside a box or broken, ProtocolError where the bytes are no boxes, Timeout (nothing is lost: read again).
  std::optional<Box> read_box(Deadline deadline = {});

  /// Ends both directions; a reader in another thread sees the end.
  void close() noexcept;

  /// The transport's: what binds a proof of identity to this very channel; empty where nothing does.
  [[nodiscard]] std::string channel_binding() const;

  [[nodiscard]] std::string description() const;

 private:
  friend class RawConnection;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
