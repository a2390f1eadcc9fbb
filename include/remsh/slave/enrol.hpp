// enrol(): a slave gets a key of its own for an invitation.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/transport/tls.hpp>

#include <chrono>
#include <string>

namespace remsh {

/// How long an enrolment may take where nothing else is said.
inline constexpr std::chrono::seconds enrolment_limit{30};

/// Changes the token of an invitation for the key of the slave of this name, at a master at "tls:HOST:PORT". With
/// `trust.ca` the master is known by a certificate besides (server_name empty: the host of the address).
///
///     const remsh::Secret key = remsh::enrol("tls:farm.example.org:9876", "worker1", token);
///     ... store the key before anything else: the token is used up ...
///
/// Blocks. The key is never sent: both sides compute it, and it is given only where the master has proven that it knows
/// the token. Throws AuthError where it has not, or does not take the token (it may be used or expired: the master's
/// log says why); Timeout, ConnectionLost, ProtocolError; and Error: `refused` where the master refuses with a reason,
/// `invalid_argument`, before anything is sent, for what cannot be. If the connection is lost on the way the token may
/// be used up all the same.
REMSH_API Secret enrol(const std::string& address, const std::string& name, const Secret& token,
                       const TlsTrust& trust = {}, Deadline deadline = enrolment_limit);

}  // namespace remsh
