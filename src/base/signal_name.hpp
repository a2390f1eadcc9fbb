// The names of the signals that end a process by default. Messages carry the names, because the numbers differ between
// systems.
#pragma once

#include <string_view>

namespace remsh {

/// The name, as "SIGTERM"; empty if the signal has another number or does not end a process.
std::string_view signal_name(int signal) noexcept;

/// The number of a name on this system; 0 if there is none.
int signal_value(std::string_view name) noexcept;

}  // namespace remsh
