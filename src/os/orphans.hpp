// Orphans: processes that became children of this process because their own parent ended.
#pragma once

#include "os/process_table.hpp"

namespace remsh {

/// Makes this process one that only runs commands. It becomes a child subreaper, so that the processes that commands
/// leave behind become its children. Each child that spawn() did not start, and that is in another session than this
/// process, then counts as an orphan: TreeKiller reaps it, and ends it with the only command that it can be of. To be
/// called by the main thread before it starts another thread: it blocks SIGCHLD, so that it can be waited for.
void claim_orphans() noexcept;

/// Whether claim_orphans() was called, and could do it.
bool has_claimed_orphans() noexcept;

/// Whether orphans become children of this process at all.
bool is_subreaper() noexcept;

/// Whether a process is an orphan of a command, for whose end nothing else in this process waits.
bool is_orphan(const ProcessEntry& entry) noexcept;

}  // namespace remsh
