// ServedOperation: one operation that a slave does for its master.
#pragma once

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// One operation that a slave does for its master, as SlaveServer::operations_in_progress() shows it. Environments,
/// what is read and written, and the arguments of operations of your own are left out.
struct ServedOperation {
  std::uint64_t id = 0;  ///< its number: the operations of a SlaveServer are numbered in the order in which they begin

  std::chrono::system_clock::time_point start{};
  std::chrono::nanoseconds duration{0};  ///< since then

  std::string operation = {};         ///< as on the wire: "execute", or the name of one of your own
  std::vector<Bytes> arguments = {};  ///< the command, or the paths
  Bytes cwd = {};                     ///< of a command, as the master asked for it
  std::optional<int> process = {};    ///< the id of the process that runs the command, once it runs

  std::uint64_t bytes_in = 0;                     ///< of its input, received so far: a file, or what a command reads
  std::uint64_t bytes_out = 0;                    ///< of its output, sent so far
  std::optional<std::uint64_t> bytes_total = {};  ///< of a file that is fetched: how many there will be

  /// The master does not want it any more, or its connection has ended: it is being ended, or hangs.
  bool cancelled = false;
};

}  // namespace remsh
