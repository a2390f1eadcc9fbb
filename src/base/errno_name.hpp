// The POSIX names of errno values. Messages carry the names, because the numbers differ between systems.
#pragma once

#include <string_view>

namespace remsh {

/// The name, as "ENOENT"; empty if the number is unknown.
std::string_view errno_name(int error) noexcept;

/// The number of a name on this system; 0 if the system does not have it.
int errno_value(std::string_view name) noexcept;

}  // namespace remsh
