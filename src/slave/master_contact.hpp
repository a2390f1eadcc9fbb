// How a slave gets to its master: by which rules, and through the handshake.
#pragma once

#include "auth/registration.hpp"
#include "auth/slave_handshake.hpp"
#include "base/result.hpp"
#include "transport/address.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/slave/slave_server.hpp>
#include <remsh/transport/transport.hpp>

#include <memory>
#include <stop_token>

namespace remsh {

/// Connects, over TLS where the address says so. Blocks. A failure of invalid_argument is about the options: they do
/// not fit together, or would let anybody be the master. auth_failed: it is not our master.
Result<std::unique_ptr<Transport>> reach_master(const Address& address, const SlaveOptions& options, Deadline deadline,
                                                const std::stop_token& stop);

/// What a slave of these options tells of itself; empty names are filled in.
Registration registration_of(const SlaveOptions& options, Bytes basedir);

/// The handshake, on this thread: until the master has let the slave in, or has not. The nonce and what the connection
/// is bound to are filled in. Fails where the connection ends, after the deadline, and after a stop.
Result<auth::SlaveHandshake::Step> shake_hands(Transport& transport, auth::SlaveHandshake::Options options,
                                               Deadline deadline, const std::stop_token& stop);

}  // namespace remsh
