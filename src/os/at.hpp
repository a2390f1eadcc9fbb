// At: the directory in which paths begin, and whether they may lead out of it.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/stat.h>

#include <cstdint>

namespace remsh {

/// The directory in which paths begin, and whether they may lead out of it. The descriptor is borrowed.
struct At {
  enum class Reach : std::uint8_t {
    anywhere,
    without_magic,  ///< anywhere, but not by the links of /proc that lead past permissions, as /proc/self/fd/3 does
    beneath,        ///< by the kernel (openat2), or by walking if it cannot
    beneath_by_walking,  ///< component by component; the system follows no link by itself
  };

  At(int directory, Reach allowed = Reach::anywhere) : descriptor(directory), reach(allowed) {}
  [[nodiscard]] bool is_confined() const noexcept {
    return reach == Reach::beneath || reach == Reach::beneath_by_walking;
  }

  int descriptor;  ///< or AT_FDCWD, if paths are not confined
  Reach reach;
};

// As the system calls of these names, with errno. If paths are confined, no `..`, no symbolic link, however it was
// planted or replaced meanwhile, and no absolute path leads out: the error is EXDEV. Links that stay inside are
// followed.

/// Opens what exists; if the result is empty, errno says why. Cannot create.
UniqueFd open_at(At at, const Bytes& path, int flags);

/// 0, or an errno value.
int stat_at(At at, const Bytes& path, struct stat& status, bool follow);

/// 0, or an errno value.
int mkdir_at(At at, const Bytes& path, mode_t mode);

/// Flags to open a directory for resolving names in it, which needs no permission to read it.
extern const int open_to_resolve;

/// A path split into its last component and its directory, which is "." if there is none.
struct SplitPath {
  explicit SplitPath(const Bytes& path);
  Bytes directory;
  Bytes name;          ///< without a slash; empty for the root; "." and ".." as they are
  bool slash = false;  ///< slashes followed the name, so it can only be a directory
};

}  // namespace remsh
