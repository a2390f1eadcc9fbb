// The argument by which a program learns that it was started to be a slave.
#pragma once

namespace remsh {

/// What LocalSlaveListener puts first on the command line of its own program, and run_embedded_slave() looks for.
inline constexpr const char* embedded_mark = "--remsh-embedded-slave";

/// Set in the environment of such a process until run_embedded_slave() takes it. Still there where a listener is to
/// start one, main() has not called that, and each process would start the next, without end.
inline constexpr const char* embedded_variable = "REMSH_EMBEDDED_SLAVE";

}  // namespace remsh
