// The help of a command, made from the table of options.
#pragma once

#include "programs/command.hpp"

#include <string>

namespace remsh::program {

/// What --help shows.
std::string help_text(const Command& command);

}  // namespace remsh::program
