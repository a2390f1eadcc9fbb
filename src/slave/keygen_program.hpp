// `remsh-slave keygen`: makes, shows and removes the keys of slaves.
#pragma once

namespace remsh {

/// Runs it with the arguments behind `remsh-slave`; gives the exit code.
int run_keygen_program(int argc, char** argv);

}  // namespace remsh
