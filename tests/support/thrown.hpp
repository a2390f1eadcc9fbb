// What a function throws.
#pragma once

#include <remsh/base/error.hpp>

#include <stdexcept>
#include <system_error>

namespace remsh::test {

/// The code of the Error that the function throws. Throws if it throws none.
template <class Function>
Errc code_thrown_by(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  throw std::logic_error("nothing was thrown");
}

/// The error of the system in the RemoteError that the function throws. Throws if it throws none.
template <class Function>
std::error_code os_error_thrown_by(Function function) {
  try {
    function();
  } catch (const RemoteError& error) {
    return error.os();
  }
  throw std::logic_error("nothing was thrown");
}

}  // namespace remsh::test
