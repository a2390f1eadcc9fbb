// RawConnection: the bytes of a Connection, for a handshake that checks each of them.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/connection/connection.hpp>

namespace remsh {

/// Reads and writes directly on a connection, which must outlive it; afterwards read_box() continues behind what was
/// read. Throws what send_box() and read_box() throw, with the name of the operation. One thread at a time.
class RawConnection {
 public:
  RawConnection(Connection& connection, const char* operation);

  void write(BytesView bytes, Deadline deadline);

  /// The next bytes; empty at the end of the stream. Valid until the next call.
  BytesView read(Deadline deadline);

  /// Gives back the unused end of the last read: read_box() begins with it.
  void give_back(BytesView bytes);

 private:
  Connection::Impl& impl_;
  const char* const operation_;
  Bytes first_;  // bytes that the connection had read but not used
};

}  // namespace remsh
