// Two transports joined in memory.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace remsh {

/// Two ends of a stream that never leaves this process. `capacity` is how many bytes may lie unread per direction.
REMSH_API std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> memory_pair(std::size_t capacity = 256 *
                                                                                                               1024);

}  // namespace remsh
