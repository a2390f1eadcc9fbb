// CallOptions: how long a caller is willing to wait for one operation.
#pragma once

#include <remsh/base/deadline.hpp>

#include <stop_token>

namespace remsh {

/// The caller's patience. When one of them ends a call, Timeout or Cancelled is thrown and the slave is told to stop.
struct CallOptions {
  Deadline deadline = {};
  std::stop_token stop = {};
};

}  // namespace remsh
