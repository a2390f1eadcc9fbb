// ServedOperation: one operation that a slave does for its master.
#pragma once

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// One operation that a slave does for its master, as SlaveServer::operations_in_progress() shows it. Environments, the
/// data read and written, and the arguments of operations of your own are left out.
struct ServedOperation {
  std::uint64_t id = 0;  ///< its number: a SlaveServer numbers its operations in the order in which they begin

  std::chrono::system_clock::time_point start{};
  std::chrono::nanoseconds duration{0};  ///< since the start

  std::string operation = {};         ///< as on the wire: "execute", or the name of an operation of your own
  std::vector<Bytes> arguments = {};  ///< the command, or the paths
  Bytes cwd = {};                     ///< the directory of a command, as the master requested it
  std::optional<int> process = {};    ///< the id of the process that runs the command, once it runs

  std::uint64_t bytes_in = 0;   ///< input received so far: the content of a file, or the standard input of a command
  std::uint64_t bytes_out = 0;  ///< output sent so far
  std::optional<std::uint64_t> bytes_total = {};  ///< the size of a fetched file

  /// True if the master no longer wants the result, or its connection has ended: the operation is being ended, or
  /// hangs.
  bool cancelled = false;
};

}  // namespace remsh
