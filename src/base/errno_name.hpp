// The POSIX names of errno values, which travel instead of their numbers: these differ between systems.
#pragma once

#include <string_view>

namespace remsh {

/// "ENOENT"; empty for a number without a name here.
std::string_view errno_name(int error) noexcept;

/// The number of a name on this system; 0 for one that it does not have.
int errno_value(std::string_view name) noexcept;

}  // namespace remsh
