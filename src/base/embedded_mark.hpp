// How a program detects that it was started as an embedded slave.
#pragma once

namespace remsh {

/// The first argument that LocalSlaveListener passes to its own program, and that run_embedded_slave() looks for.
inline constexpr const char* embedded_mark = "--remsh-embedded-slave";

/// Set in the environment of such a process until run_embedded_slave() removes it. If it is still set when a listener
/// starts an embedded slave, main() has not called run_embedded_slave(), and each process would start another one
/// endlessly.
inline constexpr const char* embedded_variable = "REMSH_EMBEDDED_SLAVE";

}  // namespace remsh
