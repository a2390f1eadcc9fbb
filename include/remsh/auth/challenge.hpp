// deliver_challenge() and answer_challenge(): two programs that share a secret prove it to each other.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/connection/connection.hpp>

#include <chrono>
#include <string_view>

namespace remsh {

/// The default limit for a proof, so that a silent peer cannot block a program for ever.
inline constexpr std::chrono::seconds challenge_limit{10};

/// Proves to the other side of a new connection that this program has the secret, and verifies that the other side has
/// it too. The other side calls answer_challenge() with the same name and secret. Afterwards the connection is free for
/// any use; data sent directly after the proof is not lost.
///
///     remsh::Connection connection(remsh::socket_transport(fd, "a client"));
///     remsh::deliver_challenge(connection, "backup", secret);
///     connection.send_box(...);
///
/// Blocks. One side delivers and the other answers; a program must not do both with the same secret. There is one try
/// per connection: if this throws, the connection is closed. Throws AuthError, whose message says what is wrong; the
/// other side learns only that the proof failed, and only after 100 ms. Throws Timeout, ConnectionLost and
/// ProtocolError as well. Throws Error with invalid_argument, before anything is sent, if the name does not match
/// [A-Za-z0-9][A-Za-z0-9._-]{0,63} or the channel binding of the transport is neither empty nor 32 bytes.
///
/// Without TLS below it (or a transport of your own with a channel_binding()) this proves only the identity of the peer
/// at the start of the connection, and protects nothing that follows. The boxes are those of docs/protocol.md section
/// 4.
REMSH_API void deliver_challenge(Connection& connection, std::string_view name, const Secret& secret,
                                 Deadline deadline = challenge_limit);

/// The other side of deliver_challenge(), which sends first. The same rules apply.
REMSH_API void answer_challenge(Connection& connection, std::string_view name, const Secret& secret,
                                Deadline deadline = challenge_limit);

}  // namespace remsh
