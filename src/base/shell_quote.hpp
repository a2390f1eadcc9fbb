// Words for a shell.
#pragma once

#include <remsh/base/bytes.hpp>

#include <string>

namespace remsh {

/// A word of a shell that is these bytes, in single quotes. They must have no NUL.
inline std::string quoted_for_shell(BytesView word) {
  std::string result = "'";
  for (const char c : word) c == '\'' ? result += "'\\''" : result += c;
  return result + "'";
}

}  // namespace remsh
