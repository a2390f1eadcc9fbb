// OperationInProgress: one operation of a Slave that is not over.
#pragma once

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// One operation of a Slave that is not over, as Slave::operations_in_progress() shows it. It leaves out what an
/// AuditRecord leaves out.
struct OperationInProgress {
  /// The number of the operation. The operations of one connection are numbered in the order in which they begin. Some
  /// numbers are not used.
  std::uint64_t id = 0;

  std::chrono::system_clock::time_point start{};
  std::chrono::nanoseconds duration{0};  ///< since the start

  std::string operation = {};         ///< the name of the function: "execute"
  std::vector<Bytes> arguments = {};  ///< the command, the paths (local ones too), or the name of an own operation
  Bytes cwd = {};            ///< the directory of a command or an own operation, as requested; absolute in a workspace
  std::string tag = {};      ///< the tag in the caller's options
  std::string builder = {};  ///< the Builder that it was called on; empty if there is none

  std::uint64_t bytes_in = 0;   ///< input sent so far: the content of a file, or the standard input of a command
  std::uint64_t bytes_out = 0;  ///< output received so far
  std::optional<std::uint64_t> bytes_total = {};  ///< the size of a transfer, if it is known

  /// True if the caller has left (because of a deadline, a stop, a dropped Pending or an exception of a callback) and
  /// the slave has not yet answered that the operation has ended. A command may take its `kill_after` to end.
  bool caller_left = false;
};

}  // namespace remsh
