// Patience: how long the caller of an operation that has begun will wait.
#pragma once

#include <remsh/base/deadline.hpp>

#include <stop_token>

namespace remsh {

/// How long the caller of an operation that has begun will wait: the time-related part of its options, resolved.
struct Patience {
  Deadline deadline = {};
  std::stop_token stop = {};
};

}  // namespace remsh
