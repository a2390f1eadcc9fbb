// enrol(): exchanges an invitation for a key.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/transport/tls.hpp>

#include <chrono>
#include <string>

namespace remsh {

/// The default limit for an enrolment.
inline constexpr std::chrono::seconds enrolment_limit{30};

/// Exchanges the token of an invitation for a new key of the slave `name`, at the master "tls:HOST:PORT". If `trust.ca`
/// is set, the master must also show a certificate (empty server_name: the host of the address).
///
///     const remsh::Secret key = remsh::enrol("tls:farm.example.org:9876", "worker1", token);
///     ... store the key before anything else: the token is used up ...
///
/// Blocks. The key is never sent: both sides compute it, and it is returned only if the master has proven that it knows
/// the token. Throws AuthError if the master has not, or if it rejects the token, which may be used or expired (the
/// master's log says why). Throws Timeout, ConnectionLost and ProtocolError. Throws Error with `refused` if the master
/// refuses with a reason, and with `invalid_argument`, before anything is sent, for invalid arguments. If the
/// connection is lost, the token may be used up nevertheless.
REMSH_API Secret enrol(const std::string& address, const std::string& name, const Secret& token,
                       const TlsTrust& trust = {}, Deadline deadline = enrolment_limit);

}  // namespace remsh
