// How a slave reaches its master: the rules, the connection and the handshake.
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

/// Connects, over TLS if the address says so. Blocks. A failure of invalid_argument is about the options: they exclude
/// each other, or would accept anybody as the master. auth_failed: it is not our master.
Result<std::unique_ptr<Transport>> reach_master(const Address& address, const SlaveOptions& options, Deadline deadline,
                                                const std::stop_token& stop);

/// What a slave with these options sends about itself; empty names are filled in.
Registration registration_of(const SlaveOptions& options, Bytes basedir);

/// Performs the handshake on this thread, until the master has admitted or refused the slave. Fills in the nonce and
/// the channel binding. Fails if the connection ends, after the deadline, and after a stop.
Result<auth::SlaveHandshake::Step> shake_hands(Transport& transport, auth::SlaveHandshake::Options options,
                                               Deadline deadline, const std::stop_token& stop);

}  // namespace remsh
