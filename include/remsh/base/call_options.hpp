// CallOptions: how long a caller is willing to wait for one operation.
#pragma once

#include <remsh/base/deadline.hpp>

#include <stop_token>
#include <string>

namespace remsh {

/// The caller's patience. When one of them ends a call, Timeout or Cancelled is thrown and the slave is told to stop.
struct CallOptions {
  CallDeadline deadline = {};
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

}  // namespace remsh
