// How many descriptors this process may have, and what its children get.
#pragma once

#include <sys/types.h>

namespace remsh {

/// Raises the soft limit of this process to the hard one, as daemons do. The commands that it starts get the limit from
/// before, since some programs cannot cope with numbers above 1,023 (select(2)), or close all numbers that there could
/// be.
void raise_descriptor_limit() noexcept;

/// Gives a child that was just started the limit from before raise_descriptor_limit(), if that was called.
void restore_descriptor_limit(pid_t child) noexcept;

}  // namespace remsh
