// The session with a Buildbot worker that speaks Perspective Broker, the default of Buildbot; no I/O.
#pragma once

#include "buildbot/worker_session.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <memory>

namespace remsh::buildbot {

/// How many random bytes a login needs.
inline constexpr std::size_t pb_challenge_size = 16;

/// A session with a worker that has `protocol='pb'`. The master speaks first: take_output() has its greeting at once.
[[nodiscard]] std::unique_ptr<WorkerSession> make_pb_session(LoginCheck check, Bytes challenge);

}  // namespace remsh::buildbot
