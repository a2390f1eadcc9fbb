// OwnOperationOptions: options of call(), for an operation of your own.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/operations/streams.hpp>

#include <stop_token>
#include <string>

namespace remsh {

/// Options of SlaveOperations::call().
///
///     slave->call("pack", {{"format", "zip"}}, {.cwd = "project", .out = remsh::to_file("project.zip")});
struct OwnOperationOptions {
  Bytes cwd = {};        ///< OperationContext::cwd(), relative to the session's directory; empty: that directory
  Source in = {};        ///< what OperationContext::read() returns on the slave
  Output out = discard;  ///< where the bytes of OperationContext::write() go; not capture() or merge

  CallDeadline deadline = {};  ///< how long the caller waits
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook and operations_in_progress()
};

}  // namespace remsh
