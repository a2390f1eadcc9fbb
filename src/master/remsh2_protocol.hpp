// remsh2_protocol(): slaves that speak our own protocol (docs/protocol.md).
#pragma once

#include "master/worker_protocol.hpp"

#include <remsh/master/slave_protocol.hpp>

#include <memory>

namespace remsh {

[[nodiscard]] std::shared_ptr<const WorkerProtocol> remsh2_protocol(const Remsh2Options& options);

}  // namespace remsh
