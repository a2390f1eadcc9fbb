// HandshakeStep: the master's next action in the handshake of a slave, for every protocol.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <cstdint>

namespace remsh::auth {

/// How long a master waits before it rejects a proof, so that guessing is slow.
inline constexpr std::chrono::milliseconds failure_delay{100};

/// Why a master refuses a slave, in one word.
enum class Refusal : std::uint8_t { name_in_use, draining, full, features, rejected, checked };

/// The master's next action in a handshake.
struct HandshakeStep {
  enum class Action : std::uint8_t {
    read,        ///< more bytes are needed
    send,        ///< send `bytes`, then read on
    registered,  ///< the slave has registered and proven its key: admit or refuse it
    fail,        ///< send `bytes` failure_delay after the last byte arrived, then close
    close,       ///< close at once
  };
  Action action = Action::read;
  Bytes bytes = {};
  Failure failure = {};  ///< `fail` and `close`: the reason for the log; text from the slave is escaped
};

/// The answer to a slave that used an invitation.
struct Enrolment {
  Bytes welcome;
  Secret key;  ///< the slave's new key, which the slave computes itself
};

}  // namespace remsh::auth
