// Two transports joined in memory.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace remsh {

/// Two ends of a stream inside this process. `capacity` is the number of bytes that may be unread in each direction.
REMSH_API std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> memory_pair(std::size_t capacity = 256 *
                                                                                                               1024);

}  // namespace remsh
