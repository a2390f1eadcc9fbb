// Directory: a directory held open, against which paths are resolved; never chdir.
#pragma once

#include "base/result.hpp"
#include "os/at.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh {

/// The absolute path of an open directory, as the system shows it; empty if it has none (errno says why).
Bytes path_of_directory(int descriptor);

/// An open directory and its absolute path. Thread-safe: it does not change.
class Directory {
 public:
  static Result<Directory> open(At at, const Bytes& path);

  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }

  /// Absolute, as the system showed it (no symbolic links) when the directory was opened.
  [[nodiscard]] const Bytes& path() const noexcept { return path_; }

 private:
  Directory(UniqueFd fd, Bytes path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  Bytes path_;
};

}  // namespace remsh
