// The session with a Buildbot worker that speaks msgpack over a WebSocket; no I/O.
#pragma once

#include "buildbot/worker_session.hpp"

#include <memory>

namespace remsh::buildbot {

/// A session with a worker that has `protocol='msgpack_experimental_v7'`. The worker speaks first.
[[nodiscard]] std::unique_ptr<WorkerSession> make_msgpack_session(LoginCheck check);

}  // namespace remsh::buildbot
