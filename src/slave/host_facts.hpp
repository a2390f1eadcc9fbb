// The facts about this machine that a slave gives its master.
#pragma once

#include <remsh/operations/host_facts.hpp>

#include <string>
#include <string_view>

namespace remsh {

/// The facts of this moment; disk space is that of the file system of this open directory. What cannot be found out is
/// left out; `software` is not set, nor what the master measures.
[[nodiscard]] HostFacts read_host_facts(int base_directory);

// The parsers, for tests.

/// Takes the sizes from the text of /proc/meminfo.
void take_memory_from(std::string_view meminfo, HostFacts& facts);

/// Takes the load from the text of /proc/loadavg: "0.52 1.08 12.00 1/123 4567".
void take_load_from(std::string_view loadavg, HostFacts& facts);

/// The value of PRETTY_NAME in the text of /etc/os-release, without its quotes; empty if there is none.
[[nodiscard]] std::string os_name_from(std::string_view os_release);

}  // namespace remsh
