// CallOptions: how long a caller waits for one operation.
#pragma once

#include <remsh/base/deadline.hpp>

#include <stop_token>
#include <string>

namespace remsh {

/// How long a caller waits. If the deadline or the stop token ends a call, Timeout or Cancelled is thrown, and the
/// slave is asked to stop.
struct CallOptions {
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

}  // namespace remsh
