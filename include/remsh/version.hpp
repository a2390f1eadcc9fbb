// The version of the library, and of the protocol it speaks.
#pragma once

#define REMSH_VERSION_MAJOR 0
#define REMSH_VERSION_MINOR 1
#define REMSH_VERSION_PATCH 0

namespace remsh {

inline constexpr const char* version = "0.1.0";
inline constexpr int protocol_version = 2;

}  // namespace remsh
