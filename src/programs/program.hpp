// The program remsh-slave.
#pragma once

namespace remsh::program {

/// Runs the command that the arguments of main() ask for. Returns the exit code.
int run_program(int argc, char** argv);

}  // namespace remsh::program
