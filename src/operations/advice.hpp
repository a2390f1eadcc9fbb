// Advice for failures of operations, for the caller.
#pragma once

#include "base/result.hpp"

#include <cerrno>

namespace remsh::operations {

/// The failure to open the file to send or fetch, with advice if it is a directory.
inline Failure with_advice(Failure failure) {
  if (failure.os == EISDIR) {
    failure.message +=
        ": send() and fetch() move single files; for a tree, run tar at both ends (examples/send_tree.cpp)";
  }
  return failure;
}

}  // namespace remsh::operations
