// The io thread of all message connections and listeners of this process.
#pragma once

#include "transport/loop.hpp"

#include <memory>

namespace remsh::messages {

/// The loop that all share, started when the first one needs it. It ends when the last owner releases it, which must
/// not happen on its own thread.
std::shared_ptr<Loop> io_thread();

}  // namespace remsh::messages
