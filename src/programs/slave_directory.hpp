// The directory of a slave, as `remsh-slave create` makes it.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"
#include "programs/option_reader.hpp"

#include <string>

namespace remsh::program {

/// Makes this directory the current one, and reads the options of its slave.conf. Returns the directory, open. A
/// failure of the system is `os_error`; the others are about the configuration.
Result<UniqueFd> enter_slave_directory(const std::string& path, OptionReader& reader);

}  // namespace remsh::program
