#include "os/orphans.hpp"

#include "os/process.hpp"

#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <atomic>
#include <csignal>

namespace remsh {

namespace {

std::atomic<bool> orphans_are_claimed{false};

}  // namespace

void claim_orphans() noexcept {
#if defined(__linux__)
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return;
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &child, nullptr);
  orphans_are_claimed = true;
#endif
}

bool has_claimed_orphans() noexcept { return orphans_are_claimed; }

bool is_subreaper() noexcept {
  if (::getpid() == 1) return true;
#if defined(__linux__)
  int subreaper = 0;
  if (::prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0) return subreaper != 0;
#endif
  return false;
}

bool is_orphan(const ProcessEntry& entry) noexcept {
  return entry.parent == ::getpid() && !is_spawned_child(entry.id.pid, entry.id.started) &&
         (entry.session != ::getsid(0) || !orphans_are_claimed);
}

}  // namespace remsh
