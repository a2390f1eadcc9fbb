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
  Bytes cwd = {};        ///< OperationContext::cwd() on the slave; empty: the session's directory; relative to that
  Source in = {};        ///< what OperationContext::read() returns there
  Output out = discard;  ///< what becomes of what OperationContext::write() is given; not capture() or merge

  CallDeadline deadline = {};  ///< how long the caller waits
  std::stop_token stop = {};
  std::string tag = {};  ///< a text of the caller's, for an AuditHook and for operations_in_progress()
};

}  // namespace remsh
