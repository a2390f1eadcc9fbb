// OperationInProgress: one operation of a Slave that is not over.
#pragma once

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// One operation of a Slave that is not over, as Slave::operations_in_progress() shows it. What an AuditRecord leaves
/// out is left out here too.
struct OperationInProgress {
  /// Its number: the operations of one connection are numbered in the order in which they begin. Not all numbers are
  /// used.
  std::uint64_t id = 0;

  std::chrono::system_clock::time_point start{};
  std::chrono::nanoseconds duration{0};  ///< since then

  std::string operation = {};         ///< as the function is called: "execute"
  std::vector<Bytes> arguments = {};  ///< the command, the paths (local ones too), or the name of an own operation
  Bytes cwd = {};                     ///< of a command or an own operation, as asked for; absolute in a workspace
  std::string tag = {};               ///< as the caller gave it in the options

  std::uint64_t bytes_in = 0;                     ///< of its input, sent so far: a file, or what a command reads
  std::uint64_t bytes_out = 0;                    ///< of its output, received so far
  std::optional<std::uint64_t> bytes_total = {};  ///< of a transfer: how many there will be, if that is known

  /// Its caller has left (a deadline, a stop, a dropped Pending, an exception of a callback), and the slave has not yet
  /// answered that it has ended: a command may take its `kill_after`.
  bool caller_left = false;
};

}  // namespace remsh
