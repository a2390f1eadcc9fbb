// The children of this process, those included that nobody here has started: orphans of descendants.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>

namespace remsh {

/// Where the children are listed.
enum class ChildList {
  children,  ///< /proc/self/task/*/children, which few kernels lack
  table      ///< /proc/*/stat: all processes of the machine are read
};

/// Calls `visit(context, pid)` for each child, zombies included. A child can be missed if another one ends meanwhile.
/// False if this list cannot be read. Allocates nothing, and may be called in a child of a fork().
bool visit_children(ChildList list, void (*visit)(void* context, pid_t child), void* context) noexcept;

/// Children that are not to be killed: those that a process had before it became the supervisor.
class SparedChildren {
 public:
  /// All children of now. If there are more than fit, the others are not spared.
  void add_all() noexcept;

  [[nodiscard]] bool contains(pid_t child) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

 private:
  std::array<pid_t, 64> pids_{};
  std::size_t count_ = 0;
};

/// Sends SIGKILL to all living children but the spared ones. Returns how many were alive. A killed child may leave
/// children of its own, so call it again until nobody is left. Each is held by a descriptor and then checked to be our
/// child, so no other process is ever killed, even if other threads reap. Allocates nothing.
std::size_t kill_children(const SparedChildren& spared, ChildList list = ChildList::children) noexcept;

}  // namespace remsh
