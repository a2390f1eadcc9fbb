// The limit on descriptors of this process, and that of its children.
#pragma once

#include <sys/types.h>

namespace remsh {

/// Raises the soft limit of this process to the hard one, as daemons do. Commands that it starts get the previous
/// limit, since some programs cannot handle numbers above 1,023 (select(2)), or close all possible numbers.
void raise_descriptor_limit() noexcept;

/// Gives a child that was just started the limit from before raise_descriptor_limit(), if that was called.
void restore_descriptor_limit(pid_t child) noexcept;

}  // namespace remsh
