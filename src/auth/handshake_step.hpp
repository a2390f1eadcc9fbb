// HandshakeStep: what a master does next in the handshake of a slave, whatever protocol the slave speaks.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <cstdint>

namespace remsh::auth {

/// How long a master waits before it rejects a proof, so that guessing is slow.
inline constexpr std::chrono::milliseconds failure_delay{100};

/// Why a master does not admit a slave, in one word.
enum class Refusal : std::uint8_t { name_in_use, draining, full, features, rejected };

/// What a master does next in a handshake.
struct HandshakeStep {
  enum class Action : std::uint8_t {
    read,        ///< more bytes are needed
    send,        ///< send `bytes`, then read on
    registered,  ///< the slave has said and proven everything: admit or refuse it
    fail,        ///< send `bytes` failure_delay after the last byte came, then close
    close,       ///< close at once
  };
  Action action = Action::read;
  Bytes bytes = {};
  Failure failure = {};  ///< of `fail` and `close`: why, for the log; text of the slave's in it is escaped
};

/// The answer to a slave that came with an invitation.
struct Enrolment {
  Bytes welcome;
  Secret key;  ///< the slave's new key, which the slave computes as well
};

}  // namespace remsh::auth
