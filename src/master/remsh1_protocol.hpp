// remsh1_protocol(): slaves of the original remsh (docs/remsh1.md).
#pragma once

#include "master/worker_protocol.hpp"

#include <memory>

namespace remsh {

[[nodiscard]] std::shared_ptr<const WorkerProtocol> remsh1_protocol();

}  // namespace remsh
