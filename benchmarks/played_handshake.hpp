// PlayedHandshake: what slaves say before they serve, to our master and to that of the limit.
#pragma once

#include "bare_hash.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <memory>

namespace remsh::bench {

/// The handshakes of many slaves, by number. Throws if the master says something else than it must. One thread at a
/// time.
class PlayedHandshake {
 public:
  virtual ~PlayedHandshake() = default;

  /// What a slave says first on each of its connections; may be empty.
  virtual Bytes begin(std::size_t slave) = 0;

  /// Takes what the master says first, and returns how many bytes of it that was; 0 if more must come. `proof` is to be
  /// sent then.
  virtual std::size_t take_challenge(std::size_t slave, BytesView bytes, Bytes& proof) = 0;

  /// The same for what the master says second, which proves the master and ends the handshake.
  virtual std::size_t take_welcome(std::size_t slave, BytesView bytes) = 0;
};

/// docs/protocol.md section 4, without TLS. What does not depend on the master's nonce is computed here, for `slaves`
/// of them, whose names begin with that of number `first`.
std::unique_ptr<PlayedHandshake> make_remsh_handshake(std::size_t first, std::size_t slaves);

/// That of the limit, in as few bytes and system calls as a proof of both sides needs; `key` is that of all slaves:
///
///     master   its nonce
///     slave    its nonce, HMAC(both nonces, its own first), a box that registers it
///     master   HMAC(both nonces, its own first), a box that says so
std::unique_ptr<PlayedHandshake> make_bare_handshake();

/// The sizes of these messages, which the limit's master needs, too.
struct BareHandshakeSizes {
  static constexpr std::size_t nonce = digest_bytes;
  static constexpr std::size_t proofs = nonce + digest_bytes;  ///< what comes before the slave's box
};

/// The MAC of two nonces, as the limit uses it.
Digest bare_proof(BareHmac& hmac, BytesView own_nonce, BytesView other_nonce);

/// The box with which the limit's master ends a handshake.
Bytes bare_registered();

}  // namespace remsh::bench
