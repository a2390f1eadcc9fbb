// deliver_challenge() and answer_challenge() of Python's connections.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/messages/auth_key.hpp>
#include <remsh/messages/message_connection.hpp>

#include <chrono>
#include <optional>
#include <stop_token>

namespace remsh {

/// Options of one proof.
struct ChallengeOptions {
  /// Refuse MD5, the only hash that Python up to 3.11 knows. Not set: accepted only if the peer
  /// is on this machine.
  std::optional<bool> require_sha256 = {};
  CallDeadline deadline = std::chrono::seconds(10);
  std::stop_token stop = {};
};

/// Makes the other side of a new connection prove that it has the key. Listener and Client do this themselves: the
/// listener delivers a challenge and then answers one, the client answers one and then delivers one. Call it for other
/// connections, such as a pipe(). There is one try per connection: if this throws, the connection is closed. Throws
/// AuthenticationError, Timeout, Cancelled and ConnectionLost; and Error with busy, if something else is receiving,
/// which closes nothing.
REMSH_API void deliver_challenge(MessageConnection& connection, const AuthKey& key,
                                 const ChallengeOptions& options = {});

/// The other side of deliver_challenge(): proves that this program has the key. The same rules apply.
REMSH_API void answer_challenge(MessageConnection& connection, const AuthKey& key,
                                const ChallengeOptions& options = {});

}  // namespace remsh
