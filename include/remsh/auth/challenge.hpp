// deliver_challenge() and answer_challenge(): two programs that share a secret prove it to each other.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/connection/connection.hpp>

#include <chrono>
#include <string_view>

namespace remsh {

/// How long a proof may take where nothing else is said: who is silent must not hold a program up for ever.
inline constexpr std::chrono::seconds challenge_limit{10};

/// Proves to the other side of a new connection that this program has the secret, and makes sure that the other has it,
/// too. The other side calls answer_challenge() with the same name and secret. Then the connection is used as one
/// likes; nothing that was sent right behind the proof is lost.
///
///     remsh::Connection connection(remsh::socket_transport(fd, "a client"));
///     remsh::deliver_challenge(connection, "backup", secret);
///     connection.send_box(...);
///
/// Blocks. One side delivers and the other answers; a program never does both with one secret. There is one try for a
/// connection: it is closed where this throws. Throws AuthError, whose text says what is wrong, to the caller alone:
/// the other side is told only that it failed, and that 100 ms late. Throws Timeout, ConnectionLost and ProtocolError
/// as well; and Error with invalid_argument, before anything is sent, where the name is not
/// [A-Za-z0-9][A-Za-z0-9._-]{0,63} or the transport's channel binding is not 32 bytes or empty.
///
/// Without TLS below it (or a transport of yours that has a channel_binding()) this proves who was there when the
/// connection began, and protects nothing that comes after. The boxes are those of docs/protocol.md section 4.
REMSH_API void deliver_challenge(Connection& connection, std::string_view name, const Secret& secret,
                                 Deadline deadline = challenge_limit);

/// The other side of deliver_challenge(): speaks first. What is said there holds here.
REMSH_API void answer_challenge(Connection& connection, std::string_view name, const Secret& secret,
                                Deadline deadline = challenge_limit);

}  // namespace remsh
