// Serving a master with the settings of a command.
#pragma once

#include "programs/command.hpp"
#include "programs/option_reader.hpp"

#include <string>

namespace remsh::program {

/// Serves as the settings say, until the slave ends. `config`: the file that `given` has read; empty: none. SIGHUP
/// reads it again. Returns the exit code.
int serve(const Command& command, Settings& settings, const OptionReader& given, const std::string& config);

}  // namespace remsh::program
