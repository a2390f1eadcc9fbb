// Opening: recognises the protocol of a connection by its first bytes; no I/O.
#pragma once

#include "master/worker_protocol.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/master/slave_protocol.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace remsh {

/// One protocol at one listener.
struct ServedProtocol {
  SlaveProtocol protocol;
  BeginHandshake begin;
  bool is_accepted = true;  ///< false: it is recognised only in order to refuse it with a message

  [[nodiscard]] const WorkerProtocol& worker() const noexcept { return protocol.worker(); }
};

/// The protocols of a listener, with the accepted ones first. Fails with invalid_argument if `accepted` is empty, or if
/// its protocols cannot be told apart.
[[nodiscard]] Result<void> check_protocols(const std::vector<SlaveProtocol>& accepted);

/// The reason for refusing a connection whose protocol the listener does not accept.
[[nodiscard]] Failure not_accepted(const ServedProtocol& protocol);

/// The first bytes of a connection, until they show its protocol. One thread at a time.
class Opening {
 public:
  /// `protocols` begins with an accepted one, and must outlive this object.
  explicit Opening(const std::vector<ServedProtocol>& protocols) : protocols_(protocols) {}

  /// Takes the next bytes. Returns the protocol of the connection, or null if more bytes are needed. The order is: the
  /// first accepted protocol that recognises the bytes; otherwise the first other one that does; otherwise the first
  /// protocol of all, whose handshake then says what is wrong with the bytes.
  const ServedProtocol* feed(BytesView bytes);

  /// The protocol that is assumed while there are no bytes.
  [[nodiscard]] const ServedProtocol& assumed() const noexcept { return protocols_.front(); }

  /// All bytes so far.
  [[nodiscard]] const Bytes& bytes() const noexcept { return bytes_; }

  /// The protocol in which the master sends first, if one is accepted.
  [[nodiscard]] const ServedProtocol* sends_first() const noexcept;

 private:
  const std::vector<ServedProtocol>& protocols_;
  Bytes bytes_;
};

}  // namespace remsh
