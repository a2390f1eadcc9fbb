// DirectoryReader: the names in a directory, one after the other.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"

#include <remsh/base/bytes.hpp>

#include <dirent.h>

#include <memory>
#include <optional>

namespace remsh {

/// The names in a directory, in the order in which the system has them, without "." and "..". One thread at a time.
class DirectoryReader {
 public:
  static Result<DirectoryReader> open(At at, const Bytes& path);

  /// The next name; none at the end.
  Result<std::optional<Bytes>> next();

  /// The directory, in which the names are.
  [[nodiscard]] int descriptor() const noexcept { return ::dirfd(directory_.get()); }

 private:
  struct Close {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  explicit DirectoryReader(DIR* directory) : directory_(directory) {}

  std::unique_ptr<DIR, Close> directory_;
};

}  // namespace remsh
