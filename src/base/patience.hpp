// Patience: how long the caller of a running operation waits.
#pragma once

#include <remsh/base/deadline.hpp>

#include <stop_token>

namespace remsh {

/// How long the caller of a running operation waits: the deadline and stop token of its options, with durations
/// resolved.
struct Patience {
  Deadline deadline = {};
  std::stop_token stop = {};
};

}  // namespace remsh
