// At: the directory in which paths begin, and whether they may lead out of it.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/stat.h>

#include <cstdint>

namespace remsh {

/// The directory in which paths begin, and whether they may lead out of it. Whoever has the descriptor keeps it open.
struct At {
  enum class Reach : std::uint8_t {
    anywhere,
    beneath,             ///< by the kernel (openat2), or by walking where it cannot
    beneath_by_walking,  ///< component by component, none of which the system may follow by itself
  };

  At(int directory, Reach allowed = Reach::anywhere) : descriptor(directory), reach(allowed) {}
  [[nodiscard]] bool is_confined() const noexcept { return reach != Reach::anywhere; }

  int descriptor;  ///< or AT_FDCWD, where it is not confined
  Reach reach;
};

// As the system calls of these names, with errno. Where it is confined, no `..`, no symbolic link, however planted or
// swapped meanwhile, and no absolute path leads out: that is EXDEV. Links that stay within are followed.

/// Opens what is there; none: errno says why. Not to create.
UniqueFd open_at(At at, const Bytes& path, int flags);

/// 0, or an errno value.
int stat_at(At at, const Bytes& path, struct stat& status, bool follow);

/// 0, or an errno value.
int mkdir_at(At at, const Bytes& path, mode_t mode);

/// To resolve names against a directory nobody needs to be allowed to read it.
extern const int open_to_resolve;

/// A path in two: its last component, and the rest as a directory, "." where there is none.
struct SplitPath {
  explicit SplitPath(const Bytes& path);
  Bytes directory;
  Bytes name;          ///< without a slash; empty for the root, "." and ".." as they are
  bool slash = false;  ///< one or more followed it, so it can only be a directory
};

}  // namespace remsh
