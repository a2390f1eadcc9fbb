// Guard: a process that ends the commands of this one if it is killed.
#pragma once

#include <remsh/base/bytes.hpp>

namespace remsh {

/// Starts the guard: a small process that waits for the end of this one, whatever brings it, SIGKILL or a crash. Then
/// it ends all processes that carry guarded_name() in their environment, with what is in their sessions or descends
/// from them: SIGTERM, and after 2 s SIGKILL. It does not outlive that. To be called by the main thread before there is
/// another one, before secrets are read, and before claim_orphans(): it is no child of this process. Without a
/// descriptor or a process for it there is none.
void start_guard() noexcept;

/// The name that all commands of this process carry; empty without a guard.
Bytes guarded_name();

}  // namespace remsh
