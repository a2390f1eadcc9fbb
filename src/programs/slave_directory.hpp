// The directory of a slave, as `remsh-slave create` makes it.
#pragma once

#include "base/result.hpp"
#include "os/process_table.hpp"
#include "os/unique_fd.hpp"
#include "programs/option_reader.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace remsh::program {

/// Makes this directory the current one, and reads the options of its slave.conf. Returns the directory, open. A
/// failure of the system is `os_error`; the others are about the configuration.
Result<UniqueFd> enter_slave_directory(const std::string& path, OptionReader& reader);

/// The file in which the process that runs the slave of a directory says that it does.
inline constexpr std::string_view process_name = "slave.pid";

/// Makes this process the one that runs the slave of a directory: locks the directory, for as long as the descriptor is
/// open here or in a child, and writes `slave.pid`. False if another process runs it.
Result<bool> take_slave_directory(int directory);

/// The process that runs the slave of a directory.
struct SlaveProcess {
  ProcessId id;
  uid_t owner = 0;  ///< of the directory, or if that is root, of the file that says so
};

/// What `slave.pid` says of a directory that take_slave_directory() has locked; nullopt if no process has.
Result<std::optional<SlaveProcess>> find_slave_process(int directory);

}  // namespace remsh::program
