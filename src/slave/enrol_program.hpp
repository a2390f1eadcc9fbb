// `remsh-slave enrol`: gets a slave its own key for an invitation.
#pragma once

namespace remsh {

/// Runs it with the arguments behind `remsh-slave`; gives the exit code.
int run_enrol_program(int argc, char** argv);

}  // namespace remsh
