// The argument by which a program learns that it was started to be a slave.
#pragma once

namespace remsh {

/// What LocalSlaveListener puts first on the command line of its own program, and run_embedded_slave() looks for.
inline constexpr const char* embedded_mark = "--remsh-embedded-slave";

}  // namespace remsh
