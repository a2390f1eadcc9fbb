#include "os/descriptor_limit.hpp"

#include <sys/resource.h>

#include <atomic>

namespace remsh {

namespace {

/// The soft limit before it was raised. Global, as the limit itself belongs to the whole process.
std::atomic<rlim_t> limit_before = RLIM_INFINITY;

}  // namespace

void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) limit_before = before;
}

void restore_descriptor_limit([[maybe_unused]] pid_t child) noexcept {
#if defined(__linux__)
  const rlim_t before = limit_before;
  rlimit limit{};
  if (before == RLIM_INFINITY || ::prlimit(child, RLIMIT_NOFILE, nullptr, &limit) != 0) return;
  limit.rlim_cur = before;
  static_cast<void>(::prlimit(child, RLIMIT_NOFILE, &limit, nullptr));
#endif
}

}  // namespace remsh
