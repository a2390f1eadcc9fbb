// Orphans: processes that became children of this process because their own parent ended.
#pragma once

#include "os/process_table.hpp"

namespace remsh {

/// For processes that only run commands: makes this one a child subreaper, so that the processes that commands leave
/// behind become its children. From then on each child that spawn() did not start, and that is in another session than
/// this process, counts as an orphan: TreeKiller reaps it, and ends it with its command if only one command can have
/// started it. Call it on the main thread before it starts another thread: it blocks SIGCHLD, so that the signal can be
/// waited for.
void claim_orphans() noexcept;

/// Whether claim_orphans() was called and has succeeded.
bool has_claimed_orphans() noexcept;

/// Whether orphans become children of this process at all.
bool is_subreaper() noexcept;

/// Whether a process is an orphan of a command, on whose end no other code in this process waits.
bool is_orphan(const ProcessEntry& entry) noexcept;

}  // namespace remsh
