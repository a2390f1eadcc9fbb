// RawConnection: the bytes of a Connection, for a handshake that is strict about each of them.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/connection/connection.hpp>

namespace remsh {

/// Reads and writes in place of a connection, which must outlive it; then read_box() goes on behind what was read.
/// Throws what send_box() and read_box() throw, in the name of the operation. One thread at a time.
class RawConnection {
 public:
  RawConnection(Connection& connection, const char* operation);

  void write(BytesView bytes, Deadline deadline);

  /// What came next; empty: the end. Lives until the next call.
  BytesView read(Deadline deadline);

  /// The end of what was read last was not for us: read_box() begins with it.
  void give_back(BytesView bytes);

 private:
  Connection::Impl& impl_;
  const char* const operation_;
  Bytes first_;  // what the connection had read and not used
};

}  // namespace remsh
