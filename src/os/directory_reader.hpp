// DirectoryReader: the names in a directory, one after another.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"

#include <remsh/base/bytes.hpp>

#include <dirent.h>

#include <memory>
#include <optional>

namespace remsh {

/// The names in a directory, in the order of the system, without "." and "..". One thread at a time.
class DirectoryReader {
 public:
  /// `more_flags`: O_NOFOLLOW, for example.
  static Result<DirectoryReader> open(At at, const Bytes& path, int more_flags = 0);

  /// The next name; nullopt at the end.
  Result<std::optional<Bytes>> next();

  /// The descriptor of the directory.
  [[nodiscard]] int descriptor() const noexcept { return ::dirfd(directory_.get()); }

 private:
  struct Close {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  explicit DirectoryReader(DIR* directory) : directory_(directory) {}

  std::unique_ptr<DIR, Close> directory_;
};

}  // namespace remsh
