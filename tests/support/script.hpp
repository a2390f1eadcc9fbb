// script: a command that runs a script of the shell.
#pragma once

#include <string>
#include <vector>

namespace remsh::test {

/// A command that runs a script; "$0" is `zero`, and "$@" what is added to the command.
inline std::vector<std::string> script(const std::string& text, const std::string& zero = "sh") {
  return {"sh", "-c", text, zero};
}

}  // namespace remsh::test
