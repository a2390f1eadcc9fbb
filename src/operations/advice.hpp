// What to do about failures of operations, in words for the caller.
#pragma once

#include "base/result.hpp"

#include <cerrno>

namespace remsh::operations {

/// The failure to open the file that is to be sent or fetched, with what to do if it is a directory.
inline Failure with_advice(Failure failure) {
  if (failure.os == EISDIR) {
    failure.message +=
        ": send() and fetch() move single files; for a tree, run tar at both ends (examples/send_tree.cpp)";
  }
  return failure;
}

}  // namespace remsh::operations
