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

/// Sends and receives boxes over a transport. Can be used without the rest of the library. One thread may send while
/// another reads; any thread may close.
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

  /// Sends a box. Throws Error with too_large (a value over 65535 bytes, or a box over the limits) or invalid_argument
  /// (an empty box) before anything is sent. Throws ConnectionLost. Throws Timeout after closing the connection,
  /// because a part of the box may have been sent.
  void send_box(const Box& box, Deadline deadline = {});

  /// Reads the next box; nullopt if the other side has ended the stream between two boxes. Throws ConnectionLost if the
  /// stream is broken or ends inside a box, ProtocolError if the bytes are not boxes, and Timeout, after which no data
  /// is lost and reading can go on.
  std::optional<Box> read_box(Deadline deadline = {});

  /// Ends both directions; a reader in another thread sees the end of the stream.
  void close() noexcept;

  /// The channel binding of the transport: binds a proof of identity to this channel. Empty if there is none.
  [[nodiscard]] std::string channel_binding() const;

  [[nodiscard]] std::string description() const;

 private:
  friend class RawConnection;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace remsh
