// HostFacts, SlaveReport: what a slave says about its machine and itself.
#pragma once

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// What a slave's machine is, and how it was at one moment: see SlaveOperations::host_facts(). All of it is claimed by
/// the slave, except `round_trip`. Sizes are in bytes. What the slave did not say is nullopt, or empty.
struct HostFacts {
  std::uint64_t cpus = 0;     ///< how many the slave's process may use
  std::string machine = {};   ///< "x86_64"
  std::string os = {};        ///< "Debian GNU/Linux 12 (bookworm)"
  std::string release = {};   ///< of the kernel: "6.1.0-18-amd64"
  std::string hostname = {};  ///< as it is now; SlaveInfo::hostname is that of the registration
  std::string software = {};  ///< SlaveInfo::software

  std::optional<std::uint64_t> memory_total = {};
  std::optional<std::uint64_t> memory_available = {};  ///< without swapping
  std::optional<std::uint64_t> swap_total = {};
  std::optional<std::uint64_t> swap_free = {};
  std::optional<std::uint64_t> disk_total = {};  ///< of the file system of the base directory
  std::optional<std::uint64_t> disk_free = {};   ///< what of it users without privileges may use

  // How many processes ran or waited for a CPU or a disk, in hundredths: the averages of 1, 5 and 15 minutes.
  std::optional<std::uint64_t> load1 = {};
  std::optional<std::uint64_t> load5 = {};
  std::optional<std::uint64_t> load15 = {};

  std::optional<std::chrono::microseconds> uptime = {};        ///< since the machine was started
  std::chrono::sys_time<std::chrono::nanoseconds> clock = {};  ///< the slave's

  // Measured by the master.

  std::chrono::nanoseconds round_trip{0};  ///< how long the call took
  /// How far the slave's clock is ahead of the master's; negative if it is behind. Exact to half of `round_trip`.
  std::chrono::nanoseconds clock_ahead{0};
};

/// All that a slave says of itself at one moment: see SlaveOperations::report().
struct SlaveReport {
  HostFacts host = {};                       ///< with the version of its software; host_facts()
  std::vector<std::string> operations = {};  ///< what it can be asked for; SlaveOperations::operations()
  std::map<Bytes, Bytes> info = {};          ///< what its operator says of it; SlaveOperations::read_info()
};

}  // namespace remsh
