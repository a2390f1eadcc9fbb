// start_prepared_child(): starts a program with settings that posix_spawn() cannot make. Private to spawn().
#pragma once

#include "os/spawn_settings.hpp"

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace remsh {

/// Everything that the child needs, made before it exists: it must not allocate.
struct ChildPlan {
  const char* path = nullptr;
  char* const* args = nullptr;
  char* const* env = nullptr;
  std::array<int, 3> standard{};  ///< its standard descriptors; none of them has one of the numbers 0 to 2
  int cwd = -1;                   ///< -1: ours
  bool session = false;           ///< otherwise only a process group
  const SpawnSettings* settings = nullptr;
};

/// The steps of a child on its way to its program.
enum class ChildStep : std::uint8_t { descriptors, group, session, terminal, nice, limit, user, directory, program };

/// Where the start of a child failed.
struct ChildFailure {
  ChildStep step = ChildStep::program;
  std::size_t limit = 0;  ///< the index of the limit that could not be set
};

/// Returns 0, or the system's error, with `failure` set: then no program runs, and there is no child. Like
/// posix_spawn() it does not copy this process: the child runs in our memory until its program begins, while this
/// thread waits and all signals are blocked.
int start_prepared_child(pid_t& pid, const ChildPlan& plan, ChildFailure& failure);

}  // namespace remsh
