// error_of: the errno value of a result.
#pragma once

#include "base/result.hpp"

namespace remsh::test {

/// The errno value of the failure; 0 if there is none.
template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.failure().os;
}

}  // namespace remsh::test
