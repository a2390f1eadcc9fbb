// Advice for failures of operations, for the caller.
#pragma once

#include "base/result.hpp"

#include <cerrno>

namespace remsh::operations {

/// The failure to open the file to send or fetch, with advice if it is a directory.
inline Failure with_advice(Failure failure) {
  if (failure.os == EISDIR) {
    failure.message += ": send() and fetch() move single files; send_tree() and fetch_tree() move directories";
  }
  return failure;
}

/// The failure to open the tree to send or fetch, with advice if it is no directory.
inline Failure with_tree_advice(Failure failure) {
  if (failure.os == ENOTDIR) {
    failure.message += ": send_tree() and fetch_tree() move directories; send() and fetch() move single files";
  }
  return failure;
}

}  // namespace remsh::operations
