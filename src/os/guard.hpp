// Guard: a process that ends the commands of this one if it is killed.
#pragma once

#include <remsh/base/bytes.hpp>

namespace remsh {

/// Starts the guard: a small process that waits for the end of this one, for any reason, SIGKILL and crashes included.
/// Then it ends all processes that carry guarded_name() in their environment, with their sessions and descendants:
/// SIGTERM, and after 2 s SIGKILL. After that it ends. Call it on the main thread before there is another one, before
/// secrets are read, and before claim_orphans(): the guard is no child of this process. If there is no descriptor or
/// process for it, there is no guard.
void start_guard() noexcept;

/// The name that all commands of this process carry; empty if there is no guard.
Bytes guarded_name();

}  // namespace remsh
