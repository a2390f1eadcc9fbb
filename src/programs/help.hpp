// The help of a command, made from the table of options.
#pragma once

#include "programs/command.hpp"

#include <string>

namespace remsh::program {

/// The text of --help.
std::string help_text(const Command& command);

}  // namespace remsh::program
