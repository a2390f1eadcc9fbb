#include "programs/command.hpp"

#include <array>
#include <cstdio>

namespace remsh::program {

std::span<const Command> commands() {
  static const std::array all{serve_command(), enrol_command(), keygen_command()};
  return all;
}

std::string full_name(const Command& command) {
  return "remsh-slave" + (command.word.empty() ? "" : " " + std::string(command.word));
}

int complain(const Command& command, const std::string& what) {
  const std::string name = full_name(command);
  std::fprintf(stderr, "%s: %s\nTry '%s --help'.\n", name.c_str(), what.c_str(), name.c_str());
  return exit_usage;
}

int fail(const Command& command, ExitCode code, const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", full_name(command).c_str(), what.c_str());
  return code;
}

}  // namespace remsh::program
