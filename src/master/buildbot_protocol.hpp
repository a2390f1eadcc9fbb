// The protocols of Buildbot's workers: docs/buildbot.md.
#pragma once

#include "master/worker_protocol.hpp"

#include <memory>

namespace remsh {

/// Perspective Broker, the default of `buildbot-worker create-worker`.
[[nodiscard]] std::shared_ptr<const WorkerProtocol> buildbot_pb_protocol();

/// msgpack over a WebSocket: `--protocol=msgpack_experimental_v7`.
[[nodiscard]] std::shared_ptr<const WorkerProtocol> buildbot_msgpack_protocol();

}  // namespace remsh
